from .activations import LRELU_GAIN as LRELU_GAIN
from .activations import LRELU_SLOPE as LRELU_SLOPE
from .activations import leaky_relu as leaky_relu
from .ada import AdaptiveAugment as AdaptiveAugment
from .augment import Augment as Augment
from .augment import DiffAugment as DiffAugment
from .augment import NoAugment as NoAugment
from .blocks import (
    EncoderDecoder as EncoderDecoder,
)
from .blocks import (
    ResidualBlock as ResidualBlock,
)
from .blocks import (
    StridedTrunk as StridedTrunk,
)
from .blocks import (
    append_planes as append_planes,
)
from .blocks import (
    check_halvings as check_halvings,
)
from .blocks import (
    get_default_stages as get_default_stages,
)
from .blocks import (
    init_normal as init_normal,
)
from .blocks import (
    make_conv_norm_relu as make_conv_norm_relu,
)
from .config import (
    AdaConfig as AdaConfig,
)
from .config import (
    DiffAugmentConfig as DiffAugmentConfig,
)
from .config import (
    LandmarkMapsConfig as LandmarkMapsConfig,
)
from .config import (
    PixelNormMappingConfig as PixelNormMappingConfig,
)
from .equalized import EqualizedConv2d as EqualizedConv2d
from .equalized import EqualizedLinear as EqualizedLinear
from .fir import downsample2d as downsample2d
from .fir import filter2d as filter2d
from .fir import upsample2d as upsample2d
from .mapping import PixelNormMapping as PixelNormMapping
from .mapping import PixelNormMLP as PixelNormMLP
from .mapping import pixel_norm as pixel_norm
from .modulated_conv import (
    DEMODULATION_EPSILON as DEMODULATION_EPSILON,
)
from .modulated_conv import (
    ModulatedConv2d as ModulatedConv2d,
)
from .modulated_conv import (
    StyledConv2d as StyledConv2d,
)
from .modulated_conv import (
    ToRGB as ToRGB,
)
from .modulated_conv import (
    add_noise_and_activate as add_noise_and_activate,
)
from .modulated_conv import (
    compute_demodulation as compute_demodulation,
)
from .modulated_conv import (
    modulated_conv2d as modulated_conv2d,
)
from .multi_head import (
    ConvTrunk as ConvTrunk,
)
from .multi_head import (
    DomainHeads as DomainHeads,
)
from .multi_head import (
    MultiHeadMLP as MultiHeadMLP,
)
from .multi_head import (
    make_mlp as make_mlp,
)
from .multi_head import (
    select_heads as select_heads,
)
from .norm import (
    BatchNorm2d as BatchNorm2d,
)
from .norm import (
    BatchStatistics as BatchStatistics,
)
from .norm import (
    InstanceNorm2d as InstanceNorm2d,
)
from .norm import (
    make_norm as make_norm,
)
from .precision import (
    disable_autocast as disable_autocast,
)
from .precision import (
    disable_tf32 as disable_tf32,
)
from .precision import (
    ensure_float32 as ensure_float32,
)
from .precision import (
    matmul_without_tf32 as matmul_without_tf32,
)
from .resample import (
    PooledConv2d as PooledConv2d,
)
from .resample import (
    ResizeConv2d as ResizeConv2d,
)
from .resample import (
    make_downsampling_conv as make_downsampling_conv,
)
from .resample import (
    make_upsampling_conv as make_upsampling_conv,
)
from .residual_discriminator import (
    DiscriminatorBlock as DiscriminatorBlock,
)
from .residual_discriminator import (
    DiscriminatorHead as DiscriminatorHead,
)
from .residual_discriminator import (
    DiscriminatorTrunk as DiscriminatorTrunk,
)
from .shapes import Images as Images
from .style_blocks import (
    AdaIN as AdaIN,
)
from .style_blocks import (
    AdainResidualBlock as AdainResidualBlock,
)
from .style_blocks import (
    Content as Content,
)
from .style_blocks import (
    ContentEncoder as ContentEncoder,
)
from .style_blocks import (
    HighPass as HighPass,
)
from .style_blocks import (
    PreActResidualBlock as PreActResidualBlock,
)
from .style_blocks import (
    StyleDecoder as StyleDecoder,
)
from .style_blocks import (
    init_kaiming as init_kaiming,
)
from .warp import warp_affine as warp_affine
from .widths import (
    compute_encoder_widths as compute_encoder_widths,
)
from .widths import (
    compute_synthesis_widths as compute_synthesis_widths,
)
from .winograd import Conv3x3 as Conv3x3
from .winograd import conv3x3 as conv3x3
