"""Packaging of smooth_recs; the settings of the tools are in pyproject.toml, exact versions in requirements.lock."""

import pathlib
import re

import setuptools

ROOT = pathlib.Path(__file__).parent

# What activations, layers and measures need beside a backend of Keras. The lowest and the highest versions are tested
# (docs/releasing.md). An upper bound is the next major version.
REQUIREMENTS = [
    "absl-py>=2.1,<3",
    "jinja2>=3.1,<4",
    "markupsafe>=2.1.1,<4",
    "keras>=3.12,<4",
    "ml-collections>=1.0,<2",
    "numpy>=2.0,<3",
    "pyyaml>=6,<7",
    "scipy>=1.13,<2",
    "tqdm>=4.66,<5",
]

# The backends of Keras, one of which is needed. Training from configurations, exporting and serving need TensorFlow's.
# `tf_keras` follows TensorFlow release by release, and asks for it itself.
BACKENDS = {
    "tensorflow": [
        "tensorboard>=2.21,<3",  # tf.summary, and with it Keras' TensorBoard callback, does not write without it
        "tensorflow>=2.21,<3",
        "tensorflow-recommenders>=0.7.7,<1",
        "tf-keras>=2.21,<3",
    ],
    "jax": ["jax>=0.10,<1"],
    "torch": ["torch>=2.14,<3"],
}

# `smooth_recs/extras.py` says what is missing without them.
EXTRAS = {
    "report": ["matplotlib>=3.9,<4"],
    "parquet": ["pyarrow>=17"],  # a major version each quarter: no upper bound would hold
    "serving": ["tensorflow-serving-api>=2.21,<3"],  # the messages of warm-up and sample requests
}

TEST_REQUIREMENTS = [
    "hypothesis>=6.100,<7",
    "mypy>=2.0,<3",
    "pytest>=9.0,<10",
    "pytest-cov>=7.0,<8",
    "pytest-timeout>=2.3,<3",
    "pytest-xdist>=3.6,<4",
    "ruff>=0.17,<0.18",
    "scikit-learn>=1.5,<2",
]
DOCS_REQUIREMENTS = ["latex2mathml>=3.77,<4", "mkdocs-material>=9.6,<10", "pdoc>=16,<17"]


def version() -> str:
    """Read, not imported: importing the package needs TensorFlow."""
    text = (ROOT / "smooth_recs" / "version.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE).group(1)


def long_description() -> str:
    readme = ROOT / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


setuptools.setup(
    name="smooth_recs",
    version=version(),
    description="Smooth activations and prediction difference for reproducible recommenders in TensorFlow and Keras",
    long_description=long_description(),
    long_description_content_type="text/markdown",
    author="The smooth_recs Authors",
    license="Apache-2.0",
    license_files=["LICENSE"],
    # The ready configurations lie beside the package in the repository and inside it in the wheel: files, not modules.
    packages=[
        *setuptools.find_packages(include=["smooth_recs", "smooth_recs.*"]),
        "smooth_recs.configs",
        "smooth_recs.configs.sweeps",
    ],
    package_dir={"smooth_recs.configs": "configs"},
    package_data={
        "smooth_recs": ["py.typed"],
        "smooth_recs.reports": ["templates/*"],
        "smooth_recs.serving": ["*.j2"],
    },
    entry_points={"console_scripts": ["smooth-recs=smooth_recs.bin._subcommands:main"]},
    options={"build": {"build_base": "dist/build"}},  # "build" is "BUILD" on some file systems
    python_requires=">=3.11,<3.14",
    install_requires=REQUIREMENTS,
    extras_require={
        **BACKENDS,
        **EXTRAS,
        "all": [line for lines in (BACKENDS["tensorflow"], *EXTRAS.values()) for line in lines],
        "test": TEST_REQUIREMENTS,
        "docs": DOCS_REQUIREMENTS,
    },
    project_urls={"Paper": "https://arxiv.org/abs/2202.06499"},
    keywords=[
        *("recommender systems", "click-through rate", "reproducibility", "prediction difference", "churn"),
        *("activation functions", "SmeLU", "TensorFlow", "Keras", "TensorFlow Recommenders"),
    ],
    classifiers=[
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
