from .attribute_editor import AttributeEditor as AttributeEditor
from .config import InversionConfig as InversionConfig
from .inversion import Inversion as Inversion
from .layout_editor import LayoutEditor as LayoutEditor
from .style_editor import StyleEditor as StyleEditor
from .synthesis_editor import SynthesisEditor as SynthesisEditor
