"""A classifier that trains in seconds on a CPU, for quick runs and tests."""

from __future__ import annotations

from torch import Tensor, nn


class SmallCNN(nn.Module):
    """Three stages of 16, 32 and 64 channels (conv 3×3 – batch-norm – ReLU; one such block in the first stage, two in
    the others), max-pooling 2×2 between stages, global average pooling, one linear layer. 71 thousand parameters at
    10 classes.

    Input (N, in_channels, H, W) with H, W ≥ 4, of any type of pixels it was trained on; output (N, num_classes)
    logits.
    """

    def __init__(self, num_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(in_channels, 16),
            nn.MaxPool2d(2),
            *_block(16, 32),
            *_block(32, 32),
            nn.MaxPool2d(2),
            *_block(32, 64),
            *_block(64, 64),
        )
        self.head = nn.Linear(64, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).mean((2, 3)))


def _block(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
