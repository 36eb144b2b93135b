"""Generated street scenes with labels in the layout of Cityscapes: `files` writes
the data set, `scene` draws one picture, `drive` a video.

`street` lays a street out, `things` stand in it, `town` and `weather` give them colours and light, `drawing` projects,
textures and lights them.
"""
