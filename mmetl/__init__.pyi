from mmetl.api import Project as Project
from mmetl.contracts.items import BusyError as BusyError
from mmetl.contracts.items import Items as Items
from mmetl.contracts.transform import register_transform as register_transform

__version__: str
