"""The error classes; see `docs/errors.md`."""

from funcflow.core.errors import ArgumentError as ArgumentError
from funcflow.core.errors import AxisError as AxisError
from funcflow.core.errors import CallbackError as CallbackError
from funcflow.core.errors import CarryTypeError as CarryTypeError
from funcflow.core.errors import CompileError as CompileError
from funcflow.core.errors import ConcretizationTypeError as ConcretizationTypeError
from funcflow.core.errors import DtypeError as DtypeError
from funcflow.core.errors import FuncflowError as FuncflowError
from funcflow.core.errors import ImmutableError as ImmutableError
from funcflow.core.errors import JaxprParseError as JaxprParseError
from funcflow.core.errors import JaxprTypeError as JaxprTypeError
from funcflow.core.errors import LeafTypeError as LeafTypeError
from funcflow.core.errors import MissingRuleError as MissingRuleError
from funcflow.core.errors import NaNError as NaNError
from funcflow.core.errors import NonConcreteBooleanIndexError as NonConcreteBooleanIndexError
from funcflow.core.errors import NotDifferentiableError as NotDifferentiableError
from funcflow.core.errors import OutOfBoundsError as OutOfBoundsError
from funcflow.core.errors import ShapeError as ShapeError
from funcflow.core.errors import TracerArrayConversionError as TracerArrayConversionError
from funcflow.core.errors import TracerBoolConversionError as TracerBoolConversionError
from funcflow.core.errors import TracerIntegerConversionError as TracerIntegerConversionError
from funcflow.core.errors import TreeStructureError as TreeStructureError
from funcflow.core.errors import UnboundAxisError as UnboundAxisError
from funcflow.core.errors import UnexpectedTracerError as UnexpectedTracerError
from funcflow.core.errors import UnhashableStaticError as UnhashableStaticError
