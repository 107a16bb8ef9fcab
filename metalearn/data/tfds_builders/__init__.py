"""CIFAR-FS, FC100 and Omniglot as TensorFlow Datasets; importing this package registers them.

    import tensorflow_datasets as tfds
    import metalearn.data.tfds_builders
    train = tfds.data_source('cifar_fs', split='train', data_dir='~/tensorflow_datasets')
    train[0]['image'].shape, train[0]['label']

Neither preparing nor reading them needs TensorFlow. Their splits are `train`, `validation` and
`test`, and share no class; examples are sorted by class. Official archives are taken from
`DownloadConfig.manual_dir` or the data folder, or else downloaded. Omniglot is called
`omniglot_vinyals`, because TFDS has an `omniglot` of its own, split otherwise.
"""

from metalearn.data.tfds_builders.builders import CifarFs, Fc100, OmniglotVinyals

__all__ = ["CifarFs", "Fc100", "OmniglotVinyals"]
