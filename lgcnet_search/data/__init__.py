"""Data of search, training and evaluation: Cityscapes, CamVid and ImageNet folders, and generated street scenes."""
