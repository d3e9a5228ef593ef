"""Data for training: files and arrays, batches of them, augmentation, text as numbers."""

from funcflow.data.cifar import load_cifar10 as load_cifar10
from funcflow.data.cifar import read_cifar10_binary as read_cifar10_binary
from funcflow.data.cifar import read_cifar10_pickle as read_cifar10_pickle
from funcflow.data.dataset import Dataset as Dataset
from funcflow.data.dataset import Epoch as Epoch
from funcflow.data.dataset import Position as Position
from funcflow.data.dataset import as_dataset as as_dataset
from funcflow.data.dataset import from_arrays as from_arrays
from funcflow.data.dataset import from_generator as from_generator
from funcflow.data.dataset import from_source as from_source
from funcflow.data.idx import load_mnist as load_mnist
from funcflow.data.idx import read_idx as read_idx
from funcflow.data.idx import write_idx as write_idx
from funcflow.data.images import ImageFolder as ImageFolder
from funcflow.data.sources import ArraySource as ArraySource
from funcflow.data.sources import Source as Source
from funcflow.data.sources import Subset as Subset
from funcflow.data.sources import train_test_split as train_test_split
from funcflow.data.tables import read_csv as read_csv
from funcflow.data.text import text_lines as text_lines
