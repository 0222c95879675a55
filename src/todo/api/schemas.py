"""JSON Schemas as generators of clients read them best."""

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

REF_TEMPLATE = "#/components/schemas/{model}"


class ClientSchema(GenerateJsonSchema):
    """Writes a nullable type as a list of types, and no defaults: they make generators require the member."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Return the schema of a type or null."""
        inner = self.generate_inner(schema["schema"])
        return {**inner, "type": [inner["type"], "null"]} if "type" in inner else super().nullable_schema(schema)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Return the schema without its default."""
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - Pydantic's signature
        """Leave out the titles of members, which only repeat their names."""
        return False


class QuerySchema(ClientSchema):
    """Leaves out null, which a query cannot contain."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Return the schema of the type alone."""
        return self.generate_inner(schema["schema"])
