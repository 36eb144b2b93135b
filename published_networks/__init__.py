"""Published real-time segmentation networks, measured whole: one operation of the space `published` each."""

SPACE = "published"
REQUIREMENT = "lgcnet[agent,networks]==0.1.0"
