"""Code fingerprints: what of a user's project code counts in a task's recipe.

Read from the text alone (canonical.py, names.py, modules.py), found as `sys.path` would (finder.py), followed from name
to name (follower.py), also to what imports do (effects.py, closure.py) and may mean (dynamic.py), handed out by
reader.py. Not seen: data files (declare them in `files:`), packages from outside the project, docstrings read by such
packages, what a pickle names, an attribute of a module set by a function that is not reached.
"""

from mmetl.cache.code.reader import Code, CodeReader, FunctionInfo

__all__ = ["Code", "CodeReader", "FunctionInfo"]
