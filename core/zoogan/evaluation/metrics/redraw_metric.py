"""Base of the metrics that compare edits with the true redraw, which only drawn faces have."""

from __future__ import annotations

from zoogan.evaluation.metrics.face_metric import FaceMetric
from zoogan.interfaces import Study, Unavailable


class RedrawMetric(FaceMetric):
    """A metric that compares edits with the true redraw of the same face."""

    def start(self, study: Study) -> None:
        """Check that the source can redraw faces.

        Raises:
            Unavailable: The source cannot redraw faces.
        """
        if not study.source.count_faces(study.split) or study.source.redraw(study.split, [0]) is None:
            raise Unavailable("only drawn faces have a true redraw to compare with; evaluate with --data drawn as well")
        super().start(study)
