from .metrics.distribution import Distribution as Distribution
from .metrics.face_metric import FaceMetric as FaceMetric
from .reports.report import Report as Report
