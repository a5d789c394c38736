from zoogan.config.registry import Component as Component
from zoogan.config.registry import MethodSpec as MethodSpec
from zoogan.config.registry import RegistrationError as RegistrationError
from zoogan.config.registry import Registry as Registry
from zoogan.config.stages import Stage as Stage
from zoogan.facts import Facts as Facts
from zoogan.plugins.hooks import hookimpl as hookimpl
from zoogan.plugins.methods import MethodInfo as MethodInfo
