"""Protobuf messages of the intakes, written from the published field numbers; the generated modules are committed."""
