"""Registry entries of keras.applications: names, sizes, counts, files and digests as data.

Names of files and digests are those of `keras.applications`; licences are those under which the
weights were published by their makers.
"""

from __future__ import annotations

from dataclasses import dataclass

from tl_app.backbones.registry import BackboneSpec, Download, Normalisation

_BASE = "https://storage.googleapis.com/"

# The three conventions of keras.applications ("caffe", "tf", "torch"), for pixels in 0..255.
_CAFFE = Normalisation((103.939, 116.779, 123.68), (1.0, 1.0, 1.0), reverse_channels=True)
_SIGNED = Normalisation((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
_STANDARD = Normalisation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


@dataclass(frozen=True, slots=True)
class _Family:
    """What the members of a family share.

    `remote` is the address of a member"s file below the common one, with its word for `{}`;
    `local` is the file"s name in a cache folder where that differs.
    """

    name: str
    licence: str
    remote: str
    block_end: str
    local: str | None = None
    normalisation: Normalisation | None = None
    min_image_size_px: int = 32
    std_rescaling: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class _Member:
    """One model; `word` goes into the name of its file."""

    name: str
    architecture: str
    image_size_px: int
    n_features: int
    n_parameters: int
    word: str
    digest: str | None


# fmt: off
_FAMILIES: tuple[tuple[_Family, tuple[_Member, ...]], ...] = (
    (
        _Family(
            "ResNet",
            "MIT",
            "tensorflow/keras-applications/resnet/{}_weights_tf_dim_ordering_tf_kernels_notop.h5",
            r"(?P<stem>pool1_pool)|(conv\d_block\d+)_out",
            normalisation=_CAFFE,
        ),
        (
            _Member("resnet50", "ResNet50", 224, 2048, 23_587_712,
                    "resnet50", "4d473c1dd8becc155b73f8504c6f6626"),
            _Member("resnet101", "ResNet101", 224, 2048, 42_658_176,
                    "resnet101", "88cf7a10940856eca736dc7b7e228a21"),
            _Member("resnet152", "ResNet152", 224, 2048, 58_370_944,
                    "resnet152", "ee4c566cf9a93f14d82f913c2dc6dd0c"),
        ),
    ),
    (
        _Family(
            "ResNetV2",
            "BSD-3-Clause",
            "tensorflow/keras-applications/resnet/{}_weights_tf_dim_ordering_tf_kernels_notop.h5",
            r"(?P<stem>pool1_pool)|(conv\d_block\d+)_out",
            normalisation=_SIGNED,
        ),
        (
            _Member("resnet50_v2", "ResNet50V2", 224, 2048, 23_564_800,
                    "resnet50v2", "fac2f116257151a9d068a22e544a4917"),
            _Member("resnet101_v2", "ResNet101V2", 224, 2048, 42_626_560,
                    "resnet101v2", "c0ed64b8031c3730f411d2eb4eea35b5"),
            _Member("resnet152_v2", "ResNet152V2", 224, 2048, 58_331_648,
                    "resnet152v2", "ed17cf2e0169df9d443503ef94b23b33"),
        ),
    ),
    (
        _Family(
            "VGG",
            "CC-BY-4.0",
            "tensorflow/keras-applications/{0}/{0}_weights_tf_dim_ordering_tf_kernels_notop.h5",
            r"(block\d)_pool",
            normalisation=_CAFFE,
        ),
        (
            _Member("vgg16", "VGG16", 224, 512, 14_714_688,
                    "vgg16", "6d6bbae143d832006294945121d1f1fc"),
            _Member("vgg19", "VGG19", 224, 512, 20_024_384,
                    "vgg19", "253f8cb515780f3b799900260a226db6"),
        ),
    ),
    (
        _Family(
            "DenseNet",
            "BSD-3-Clause",
            "tensorflow/keras-applications/densenet/{}_weights_tf_dim_ordering_tf_kernels_notop.h5",
            r"(?P<stem>pool1)|(pool\d)_pool",
            normalisation=_STANDARD,
        ),
        (
            _Member("densenet121", "DenseNet121", 224, 1024, 7_037_504,
                    "densenet121", "30ee3e1110167f948a6b9946edeeb738"),
            _Member("densenet169", "DenseNet169", 224, 1664, 12_642_880,
                    "densenet169", "b8c4d4c20dd625c148057b9ff1c1176b"),
            _Member("densenet201", "DenseNet201", 224, 1920, 18_321_984,
                    "densenet201", "c13680b51ded0fb44dff2d8f86ac8bb1"),
        ),
    ),
    (
        _Family(
            "Inception",
            "Apache-2.0",
            "tensorflow/keras-applications/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
            r"(?P<stem>max_pooling2d_1)|(mixed\d+)",
            normalisation=_SIGNED,
            min_image_size_px=75,
        ),
        (
            _Member("inception_v3", "InceptionV3", 299, 2048, 21_802_784,
                    "", "bcbd6486424b2319ff4ef7d526e38f63"),
        ),
    ),
    (
        _Family(
            "Inception-ResNet",
            "Apache-2.0",
            "tensorflow/keras-applications/inception_resnet_v2/inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
            r"(?P<stem>max_pooling2d_1)|(mixed_\d\w)|(block\d+_\d+)_ac|(?P<block8_10>custom_scale_layer_39)",
            normalisation=_SIGNED,
            min_image_size_px=75,
        ),
        (
            _Member("inception_resnet_v2", "InceptionResNetV2", 299, 1536, 54_336_736,
                    "", "d19885ff4a710c122648d3b5c3b684e4"),
        ),
    ),
    (
        _Family(
            "Xception",
            "MIT",
            "tensorflow/keras-applications/xception/xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
            r"(?P<stem>block1_conv2_act)|(add(?:_\d+)?)",
            normalisation=_SIGNED,
            min_image_size_px=71,
        ),
        (
            _Member("xception", "Xception", 299, 2048, 20_861_480,
                    "", "b0042744bf5b25fce3cb969f33bebb97"),
        ),
    ),
    (
        _Family(
            "MobileNet",
            "Apache-2.0",
            "tensorflow/keras-applications/mobilenet/mobilenet_1_0_224_tf_no_top.h5",
            r"(?P<stem>conv1_relu)|(conv_pw_\d+)_relu",
            normalisation=_SIGNED,
        ),
        (
            _Member("mobilenet", "MobileNet", 224, 1024, 3_228_864, "", None),
        ),
    ),
    (
        _Family(
            "MobileNetV2",
            "Apache-2.0",
            "tensorflow/keras-applications/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
            r"(?P<stem>Conv1_relu)|(expanded_conv|block_\d+)_(?:project_BN|add)",
            normalisation=_SIGNED,
        ),
        (
            _Member("mobilenet_v2", "MobileNetV2", 224, 1280, 2_257_984, "", None),
        ),
    ),
    (
        _Family(
            "MobileNetV3",
            "Apache-2.0",
            "tensorflow/keras-applications/mobilenet_v3/{}_224_1.0_float_no_top_v2.h5",
            r"(?P<stem>activation)|(expanded_conv(?:_\d+)?)_(?:project_bn|add)",
        ),
        (
            _Member("mobilenet_v3_small", "MobileNetV3Small", 224, 576, 939_120,
                    "weights_mobilenet_v3_small", "d3e8ec802a04aa4fc771ee12a9a9b836"),
            _Member("mobilenet_v3_large", "MobileNetV3Large", 224, 960, 2_996_352,
                    "weights_mobilenet_v3_large", "07fb09a5933dd0c8eaafa16978110389"),
        ),
    ),
    (
        _Family(
            "EfficientNet",
            "Apache-2.0",
            "keras-applications/{}_notop.h5",
            r"(stem)_activation|(block\d\w)_(?:project_bn|add)",
            std_rescaling=(0.229, 0.224, 0.225),
        ),
        (
            _Member("efficientnet_b0", "EfficientNetB0", 224, 1280, 4_049_571,
                    "efficientnetb0", "50bc09e76180e00e4465e1a485ddc09d"),
            _Member("efficientnet_b1", "EfficientNetB1", 240, 1280, 6_575_239,
                    "efficientnetb1", "74c4e6b3e1f6a1eea24c589628592432"),
            _Member("efficientnet_b2", "EfficientNetB2", 260, 1408, 7_768_569,
                    "efficientnetb2", "111f8e2ac8aa800a7a99e3239f7bfb39"),
            _Member("efficientnet_b3", "EfficientNetB3", 300, 1536, 10_783_535,
                    "efficientnetb3", "af6d107764bb5b1abb91932881670226"),
            _Member("efficientnet_b4", "EfficientNetB4", 380, 1792, 17_673_823,
                    "efficientnetb4", "ebc24e6d6c33eaebbd558eafbeedf1ba"),
            _Member("efficientnet_b5", "EfficientNetB5", 456, 2048, 28_513_527,
                    "efficientnetb5", "38879255a25d3c92d5e44e04ae6cec6f"),
            _Member("efficientnet_b6", "EfficientNetB6", 528, 2304, 40_960_143,
                    "efficientnetb6", "9ecce42647a20130c1f39a5d4cb75743"),
            _Member("efficientnet_b7", "EfficientNetB7", 600, 2560, 64_097_687,
                    "efficientnetb7", "cbcfe4450ddf6f3ad90b1b398090fe4a"),
        ),
    ),
    (
        _Family(
            "EfficientNetV2",
            "Apache-2.0",
            "tensorflow/keras-applications/efficientnet_v2/{}_notop.h5",
            r"(stem)_activation|(block\d\w+?)_(?:project_bn|project_activation|add)",
        ),
        (
            _Member("efficientnet_v2_b0", "EfficientNetV2B0", 224, 1280, 5_919_312,
                    "efficientnetv2-b0", "893217f2bb855e2983157299931e43ff"),
            _Member("efficientnet_v2_b1", "EfficientNetV2B1", 240, 1280, 6_931_124,
                    "efficientnetv2-b1", "0e80663031ca32d657f9caa404b6ec37"),
            _Member("efficientnet_v2_b2", "EfficientNetV2B2", 260, 1408, 8_769_374,
                    "efficientnetv2-b2", "1dfe2e7a5d45b6632553a8961ea609eb"),
            _Member("efficientnet_v2_b3", "EfficientNetV2B3", 300, 1536, 12_930_622,
                    "efficientnetv2-b3", "f6abf7b5849ac99a89b50dd3fd532856"),
            _Member("efficientnet_v2_s", "EfficientNetV2S", 384, 1280, 20_331_360,
                    "efficientnetv2-s", "af0682fb74e8c54910f2d4393339c070"),
            _Member("efficientnet_v2_m", "EfficientNetV2M", 480, 1280, 53_150_388,
                    "efficientnetv2-m", "1b8dc055df72dde80d614482840fe342"),
            _Member("efficientnet_v2_l", "EfficientNetV2L", 480, 1280, 117_746_848,
                    "efficientnetv2-l", "b0b66b5c863aef5b46e8608fe1711615"),
        ),
    ),
    (
        _Family(
            "NASNet",
            "Apache-2.0",
            "tensorflow/keras-applications/nasnet/NASNet-{}-no-top.h5",
            r"(?P<stem>stem_bn1)",
            normalisation=_SIGNED,
            local="nasnet_{}_no_top.h5",
        ),
        (
            _Member("nasnet_mobile", "NASNetMobile", 224, 1056, 4_269_716,
                    "mobile", "1ed92395b5b598bdda52abe5c0dbfd63"),
            _Member("nasnet_large", "NASNetLarge", 331, 4032, 84_916_818,
                    "large", "d81d89dc07e6e56530c4e77faddd61b5"),
        ),
    ),
    (
        _Family(
            "ConvNeXt",
            "MIT",
            "tensorflow/keras-applications/convnext/{}_notop.h5",
            r"\w+_(?:base|large|small|tiny|xlarge)_(stem)|(add(?:_\d+)?)",
        ),
        (
            _Member("convnext_tiny", "ConvNeXtTiny", 224, 768, 27_820_128,
                    "convnext_tiny",
                    "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1"),
            _Member("convnext_small", "ConvNeXtSmall", 224, 768, 49_454_688,
                    "convnext_small",
                    "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab"),
            _Member("convnext_base", "ConvNeXtBase", 224, 1024, 87_566_464,
                    "convnext_base",
                    "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45"),
            _Member("convnext_large", "ConvNeXtLarge", 224, 1536, 196_230_336,
                    "convnext_large",
                    "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd"),
            _Member("convnext_xlarge", "ConvNeXtXLarge", 224, 2048, 348_147_968,
                    "convnext_xlarge",
                    "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05"),
        ),
    ),
)
# fmt: on


def _spec(family: _Family, member: _Member) -> BackboneSpec:
    remote = family.remote.format(member.word)
    return BackboneSpec(
        name=member.name,
        family=family.name,
        architecture=member.architecture,
        builder="tl_app.backbones.keras_applications:build_keras_application",
        image_size_px=member.image_size_px,
        min_image_size_px=family.min_image_size_px,
        n_features=member.n_features,
        n_parameters=member.n_parameters,
        licence=family.licence,
        block_end=family.block_end,
        normalisation=family.normalisation,
        download=Download(
            url=_BASE + remote,
            file_name=(family.local or remote.rsplit("/", 1)[-1]).format(member.word),
            digest=member.digest,
        ),
        std_rescaling=family.std_rescaling,
    )


KERAS_SPECS = tuple(_spec(family, member) for family, members in _FAMILIES for member in members)
