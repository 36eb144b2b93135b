"""Automatic mixed precision: weights in float32, activations where they may be in a shorter type."""

from typing import Literal

import torch

Amp = Literal["none", "bf16", "fp16"]

_TYPES = {"none": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device, amp: Amp) -> torch.autocast:
    """The context that a forward pass runs in."""
    return torch.autocast(device.type, _TYPES[amp], enabled=amp != "none")


def scaler(device: torch.device, amp: Amp) -> torch.amp.GradScaler:
    """Scales the loss where fp16 would lose small gradients (Micikevicius et al. 2018), and nothing otherwise."""
    return torch.amp.GradScaler(device.type, enabled=amp == "fp16")
