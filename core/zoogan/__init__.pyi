from .errors import ConfigError as ConfigError
from .errors import DataError as DataError
from .errors import DiskError as DiskError
from .errors import NotFinite as NotFinite
from .errors import OutOfMemory as OutOfMemory
from .errors import TrainingStopped as TrainingStopped
from .errors import ZooganError as ZooganError
from .evaluation.compare import compare as compare
from .evaluation.evaluate import evaluate as evaluate
from .interfaces.edit_result import Edit as Edit
from .plugins.gallery import GalleryEntry as GalleryEntry
from .plugins.gallery import list_gallery as list_gallery
from .plugins.hooks import API_VERSION as API_VERSION
from .plugins.methods import list_methods as list_methods
from .runs.description import EditorDescription as EditorDescription
from .runs.description import describe_editor as describe_editor
from .runs.loaded import LoadedRun as LoadedRun
from .runs.opening import load as load
from .runs.summary import RunSummary as RunSummary
from .runs.summary import summarize_run as summarize_run
from .training.importing import import_weights as import_weights
from .training.train import train as train
from .workflows.crop_data import crop_data as crop_data
from .workflows.export_run import export_judge as export_judge
from .workflows.export_run import export_run as export_run

__version__: str
