"""The log of a run: every term of every space, as JSON lines and for TensorBoard."""
from __future__ import annotations

import contextlib
import json
from pathlib import Path

import torch

from . import checkpoint, dist
from .objective import Terms


class Log:
    """JSON lines and TensorBoard events under `out_dir` on rank 0; else only kept in `lines`."""

    def __init__(self, out_dir, spaces, step: int = 0):
        """step: lines up to it are an earlier start's, and stay."""
        self.lines: list[dict] = []
        self.names = ["loss", "spread", *(f"{term}/{space}" for term in ("align", "violation", "lambda") for space in spaces)]
        self.file = self.board = self.folder = None
        if out_dir:
            self.folder = Path(out_dir)
            self.lines = lines_of(self.folder, step)
        if out_dir and dist.rank() == 0:
            from torch.utils.tensorboard import SummaryWriter
            self.folder.mkdir(parents=True, exist_ok=True)
            text = "".join(json.dumps(line) + "\n" for line in self.lines)
            checkpoint.write(self.folder / "log.jsonl", lambda file: file.write(text.encode()))
            self.file = open(self.folder / "log.jsonl", "a")
            self.board = SummaryWriter(out_dir, purge_step=step + 1 if step else None)

    def row(self, terms: Terms) -> torch.Tensor:
        """One step's values [2 + 3 (M + 1)], still on the device."""
        loss = torch.stack([terms.loss.detach(), terms.spread])
        return torch.cat([loss, terms.align, terms.violation, terms.lambdas])

    def mean(self, recent: list[torch.Tensor], asked: bool) -> tuple[list[float], bool]:
        """The steps' and ranks' means, and whether any rank was asked to stop."""
        values = torch.stack(recent).mean(dim=0)
        *values, any_asked = dist.mean(torch.cat([values, values.new_tensor([float(asked)])])).tolist()
        return values, any_asked > 0

    def write(self, values: list[float], **more) -> dict:
        line = {**more, **dict(zip(self.names, values))}
        self.lines.append(line)
        if self.file:
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()
            for name, value in line.items():
                self.board.add_scalar(name, value, line["step"])
        return line

    def kept(self) -> str:
        saved = checkpoint.checkpoints(self.folder) if self.folder else []
        return f"; the last good weights are in {saved[0]}" if saved else ""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.file:
            self.file.close()
            self.board.close()


def lines_of(folder: Path, step: int) -> list[dict]:
    """The lines of log.jsonl up to `step`; one that a kill cut short is left out."""
    lines = []
    for text in (folder / "log.jsonl").read_text().splitlines() if step and (folder / "log.jsonl").exists() else []:
        with contextlib.suppress(json.JSONDecodeError):
            lines.append(json.loads(text))
    return [line for line in lines if line["step"] <= step]
