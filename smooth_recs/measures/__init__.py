"""What predictions are measured by, in NumPy and float64, without TensorFlow; the difference itself is in
`prediction_difference`.

Each module is also an attribute of the package: `sr.accuracy` is `sr.measures.accuracy`.
"""

from smooth_recs.measures import accuracy, gates, held_out, increases, recommendations, slices
from smooth_recs.measures import catalogue as registry

__all__ = ["accuracy", "gates", "held_out", "increases", "recommendations", "registry", "slices"]
