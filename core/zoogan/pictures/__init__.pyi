from .box import Box as Box
from .paste import paste_edit as paste_edit
from .photo import crop_photo as crop_photo
from .photo import read_photo as read_photo
from .photo import save_image as save_image
from .whole import WholePhoto as WholePhoto
from .whole import read_whole_photo as read_whole_photo
from .whole import save_whole_photo as save_whole_photo
