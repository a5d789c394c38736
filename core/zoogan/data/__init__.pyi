from .config import (
    CelebAData as CelebAData,
)
from .config import (
    CelebAMaskHQData as CelebAMaskHQData,
)
from .config import (
    DrawnData as DrawnData,
)
from .config import (
    FilesData as FilesData,
)
from .config import (
    FolderData as FolderData,
)
from .config import (
    FoldersData as FoldersData,
)
from .drawn.source import DrawnSource as DrawnSource
from .label_sets.label_set import (
    AnyLabelSet as AnyLabelSet,
)
from .label_sets.label_set import (
    LabelSet as LabelSet,
)
from .label_sets.label_set import (
    list_label_sets as list_label_sets,
)
from .label_sets.label_set import (
    load_label_set as load_label_set,
)
from .label_sets.label_set import (
    read_label_set as read_label_set,
)
from .sources.celeba import CelebA as CelebA
from .sources.celebamask_hq import CelebAMaskHQ as CelebAMaskHQ
from .sources.folder import Folder as Folder
from .sources.folders import Folders as Folders
