"""Time StarGAN's iteration against the official code: one line of JSON.

    git clone https://github.com/yunjey/stargan
    python benchmarks/versus_stargan.py --official stargan --size 128 --batch 4

The official side is its own unchanged `Solver.train`, five iterations at a time: five discriminator updates, one
generator update, and the losses that it reads with `.item()`. Ours is five iterations of the trainer.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from versus import OfficialSide, Parts, compare

SHARES = {"iterations": 1 / 5}
ATTRIBUTES = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
NEVER = 10**9


class OfficialStargan(OfficialSide):
    """yunjey's `Solver` with its default arguments and batches of random images in the place of its loader.

    Args:
        options: The command line.
        device: Where the networks compute.
    """

    def __init__(self, options: argparse.Namespace, device: torch.device) -> None:
        from solver import Solver

        iterations, count = round(1 / SHARES["iterations"]), len(ATTRIBUTES)
        batches = [
            (
                torch.rand(options.batch, 3, options.size, options.size) * 2 - 1,
                (torch.rand(options.batch, count) < 0.5).float(),
            )
            for _ in range(3)
        ]
        self.solver = Solver(batches, None, argparse.Namespace(
            c_dim=count, c2_dim=8, image_size=options.size, g_conv_dim=64, d_conv_dim=64, g_repeat_num=6,
            d_repeat_num=6, lambda_cls=1.0, lambda_rec=10.0, lambda_gp=10.0, dataset="CelebA",
            batch_size=options.batch, num_iters=iterations, num_iters_decay=NEVER, g_lr=0.0001, d_lr=0.0001,
            n_critic=iterations, beta1=0.5, beta2=0.999, resume_iters=None, selected_attrs=ATTRIBUTES,
            test_iters=0, use_tensorboard=False, log_dir="", sample_dir="", model_save_dir="", result_dir="",
            log_step=NEVER, sample_step=NEVER, model_save_step=NEVER, lr_update_step=NEVER,
        ))  # fmt: skip
        if self.solver.device.type != device.type:
            raise SystemExit("the official code chooses CUDA where it can: set CUDA_VISIBLE_DEVICES= to measure a CPU")

    def make_parts(self) -> Parts:
        """Return the official training loop."""
        return {"iterations": self.solver.train}


def make_layer(options: argparse.Namespace) -> dict[str, Any]:
    """Return our settings for the same networks."""
    return {"data": {"attributes": list(ATTRIBUTES)}, "discriminator": {"stages": 6}}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    compare("stargan", OfficialStargan, make_layer, __doc__ or "", argv, SHARES)


if __name__ == "__main__":
    main()
