"""Pose: how far the head turns by the edit."""

from __future__ import annotations

from typing import ClassVar

from zoogan.evaluation.metrics.judged import JudgedMetric, read_first_face
from zoogan.interfaces import Edits, Study, Unavailable


class Pose(JudgedMetric):
    """Mean |yaw|, |pitch| and |roll| between edit and input, in degrees, as the judge reads them.

    Only for judges that were trained on faces whose pose is known.
    """

    title = "Pose: degrees by which the edit turns the head"
    kinds = ("edits", "generated")
    default_for: ClassVar = {"edits": 80, "generated": 40}
    better: ClassVar = {"pose_change": "lower"}

    def start(self, study: Study) -> None:
        """Check that the judge reads poses.

        Raises:
            Unavailable: It reads none.
        """
        super().start(study)
        if study.source.count_faces(study.split) and self.judge.read_poses(read_first_face(study)) is None:
            raise Unavailable("this judge reads no pose: train one on drawn faces, whose pose is known")

    def update(self, edits: Edits) -> None:
        """Add one row a face."""
        before, after = self.judge.read_poses(edits.image), self.judge.read_poses(edits.edited_image)
        assert before is not None and after is not None
        self.add_rows("pose_change", edits, (after - before).abs().mean(1))
