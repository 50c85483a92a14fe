from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DDSketch(_message.Message):
    __slots__ = ("mapping", "positiveValues", "negativeValues", "zeroCount")
    MAPPING_FIELD_NUMBER: _ClassVar[int]
    POSITIVEVALUES_FIELD_NUMBER: _ClassVar[int]
    NEGATIVEVALUES_FIELD_NUMBER: _ClassVar[int]
    ZEROCOUNT_FIELD_NUMBER: _ClassVar[int]
    mapping: IndexMapping
    positiveValues: Store
    negativeValues: Store
    zeroCount: float
    def __init__(self, mapping: _Optional[_Union[IndexMapping, _Mapping]] = ..., positiveValues: _Optional[_Union[Store, _Mapping]] = ..., negativeValues: _Optional[_Union[Store, _Mapping]] = ..., zeroCount: _Optional[float] = ...) -> None: ...

class IndexMapping(_message.Message):
    __slots__ = ("gamma", "indexOffset", "interpolation")
    class Interpolation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        NONE: _ClassVar[IndexMapping.Interpolation]
        LINEAR: _ClassVar[IndexMapping.Interpolation]
        QUADRATIC: _ClassVar[IndexMapping.Interpolation]
        CUBIC: _ClassVar[IndexMapping.Interpolation]
    NONE: IndexMapping.Interpolation
    LINEAR: IndexMapping.Interpolation
    QUADRATIC: IndexMapping.Interpolation
    CUBIC: IndexMapping.Interpolation
    GAMMA_FIELD_NUMBER: _ClassVar[int]
    INDEXOFFSET_FIELD_NUMBER: _ClassVar[int]
    INTERPOLATION_FIELD_NUMBER: _ClassVar[int]
    gamma: float
    indexOffset: float
    interpolation: IndexMapping.Interpolation
    def __init__(self, gamma: _Optional[float] = ..., indexOffset: _Optional[float] = ..., interpolation: _Optional[_Union[IndexMapping.Interpolation, str]] = ...) -> None: ...

class Store(_message.Message):
    __slots__ = ("binCounts", "contiguousBinCounts", "contiguousBinIndexOffset")
    class BinCountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: float
        def __init__(self, key: _Optional[int] = ..., value: _Optional[float] = ...) -> None: ...
    BINCOUNTS_FIELD_NUMBER: _ClassVar[int]
    CONTIGUOUSBINCOUNTS_FIELD_NUMBER: _ClassVar[int]
    CONTIGUOUSBININDEXOFFSET_FIELD_NUMBER: _ClassVar[int]
    binCounts: _containers.ScalarMap[int, float]
    contiguousBinCounts: _containers.RepeatedScalarFieldContainer[float]
    contiguousBinIndexOffset: int
    def __init__(self, binCounts: _Optional[_Mapping[int, float]] = ..., contiguousBinCounts: _Optional[_Iterable[float]] = ..., contiguousBinIndexOffset: _Optional[int] = ...) -> None: ...
