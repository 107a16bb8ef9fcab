"""Flax's module, whose parameters are traced faster."""

from typing import Any

import flax.linen as nn


class Module(nn.Module):
    """A module that takes a parameter that is there as it is.

    Flax traces the initialiser of each parameter every time that a network is traced, to compare
    the shapes, which takes much of that time. Here they are compared where weights are read.
    """

    @nn.nowrap
    def param(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """The parameter of this name; arguments as of `flax.linen.Module.param`."""
        if self.has_variable("params", name):
            return self.get_variable("params", name)
        return super().param(name, *args, **kwargs)
