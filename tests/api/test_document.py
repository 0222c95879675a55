"""The OpenAPI document, as those read it who write clients, by hand or with a generator."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from fastapi import FastAPI
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel

from todo.api.document import MEMBERS
from todo.app import create_app
from todo.database.urls import DatabaseUrl
from todo.models.queries import TaskQuery
from todo.models.tasks import TaskCompletion, TaskCreate, TaskPublic, TasksCompletion, TaskUpdate
from todo.settings import Settings

Object: TypeAlias = dict[str, Any]  # of JSON

COMMITTED = Path(__file__).parents[2] / "docs/openapi.json"
INPUTS = (TaskCreate, TaskUpdate, TaskCompletion)


def make_app(**settings: Any) -> FastAPI:  # noqa: ANN401 - each is validated by its field
    """The application, without a database."""
    return create_app(Settings(**settings), DatabaseUrl({}))


@pytest.fixture(scope="module")
def document() -> Object:
    """The document without any setting."""
    return make_app().openapi()


@pytest.fixture(scope="module")
def schemas(document: Object) -> dict[str, Object]:
    """The named schemas."""
    schemas: dict[str, Object] = document["components"]["schemas"]
    return schemas


def find_operations(document: Object) -> dict[str, Object]:
    """Every operation by its id."""
    return {each["operationId"]: each for item in document["paths"].values() for each in item.values()}


def find_objects(node: object) -> Iterator[Object]:
    """Every object in a document, without those in its examples."""
    if isinstance(node, dict):
        yield node
        for name, each in node.items():
            if name not in {"example", "examples"}:
                yield from find_objects(each)
    elif isinstance(node, list):
        for each in node:
            yield from find_objects(each)


def test_committed_document_is_that_of_the_code(document: Object) -> None:
    """Whoever generates a client needs no running service; `make openapi` writes it."""
    assert COMMITTED.read_text() == json.dumps(document, indent=2) + "\n"


def test_document_is_valid_openapi(document: Object) -> None:
    """Of version 3.1, with every reference resolved."""
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_document_is_made_once() -> None:
    """It does not change while the application runs."""
    app = make_app()

    assert app.openapi() is app.openapi()


def test_document_is_complete_to_whoever_asks_first(document: Object) -> None:
    """Another thread may be about to complete what FastAPI has made."""
    app = make_app()
    FastAPI.openapi(app)

    assert app.openapi() == document


@pytest.mark.parametrize(
    ("public_url", "server"), [(None, "/"), ("https://todo.example.com/v1", "https://todo.example.com/v1")]
)
def test_server_is_the_public_url(public_url: str | None, server: str) -> None:
    """Else it is where the document came from."""
    assert make_app(public_url=public_url).openapi()["servers"] == [{"url": server}]


def test_document_says_that_nothing_is_asked_for(document: Object) -> None:
    """An absent `security` could mean that it was forgotten."""
    assert document["security"] == []


# Operations


def test_every_operation_has_words_of_its_own(document: Object) -> None:
    """Two with one summary cannot be told apart in a list."""
    operations = find_operations(document).values()

    assert len({each["summary"] for each in operations}) == len(operations)
    assert all(each["description"] for each in operations)
    assert {tag for each in operations for tag in each["tags"]} == {tag["name"] for tag in document["tags"]}
    assert all(tag["description"] for tag in document["tags"])


def test_path_parameters_are_in_the_order_of_the_path(document: Object) -> None:
    """Generators make them positional."""
    for path, item in document["paths"].items():
        for operation in item.values():
            parameters = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"]
            assert parameters == re.findall(r"{(\w+)}", path)


def test_only_parameters_that_are_required_have_an_example(document: Object) -> None:
    """Each example is sent by "Try it out", and a list with every filter finds nothing."""
    for operation in find_operations(document).values():
        for parameter in operation.get("parameters", ()):
            assert ("example" in parameter) == (parameter["in"] == "path"), parameter["name"]


def test_every_patch_can_be_a_merge_patch(document: Object) -> None:
    """Of the same schema; no other method has one."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {})
            assert ("application/merge-patch+json" in content) == (method == "patch"), path
            assert len({json.dumps(media) for media in content.values()}) <= 1


def test_every_response_has_the_id_of_its_request(document: Object) -> None:
    """Whatever its status."""
    for operation in find_operations(document).values():
        assert all("X-Request-ID" in response["headers"] for response in operation["responses"].values())


@pytest.mark.parametrize(
    ("operation", "status", "headers"),
    [
        ("create_task", "201", {"ETag", "Location", "Idempotent-Replayed"}),
        ("create_task", "415", {"Accept", "Accept-Patch"}),
        ("list_tasks", "200", {"ETag", "Link"}),
        ("list_tasks", "503", {"Retry-After"}),
        ("get_task", "200", {"ETag"}),
        ("get_task", "304", {"ETag"}),
        ("update_task", "200", {"ETag"}),
        ("put_task", "200", {"ETag"}),
        ("complete_task", "200", {"ETag"}),
        ("check_readiness", "503", {"Retry-After"}),
    ],
)
def test_response_has_the_headers_that_a_client_acts_on(
    document: Object, operation: str, status: str, headers: set[str]
) -> None:
    """A client that is generated finds them by name."""
    response = find_operations(document)[operation]["responses"][status]

    assert response["headers"].keys() == headers | {"X-Request-ID"}


def test_phrases_do_not_depend_on_the_version_of_python(document: Object) -> None:
    """Python 3.13 has the names of RFC 9110."""
    responses = find_operations(document)["create_task"]["responses"]

    assert responses["413"]["description"] == "Content Too Large"
    assert responses["422"]["description"] == "Unprocessable Content"


# Schemas


def test_no_member_has_the_keyword_default(document: Object) -> None:
    """Generators of TypeScript require a member with a default; descriptions have it instead."""
    assert [each for each in find_objects(document["paths"]) if "default" in each] == []
    assert [each for each in find_objects(document["components"]["schemas"]) if "default" in each] == []


def test_new_task_requires_only_its_title(schemas: dict[str, Object]) -> None:
    """And says what the others are when they are left out."""
    created = schemas["TaskCreate"]
    optional = [member for name, member in created["properties"].items() if name not in created["required"]]

    assert created["required"] == ["title"]
    assert all("Default: " in member["description"] for member in optional if not member.get("readOnly"))


def test_task_in_a_response_has_every_member(schemas: dict[str, Object]) -> None:
    """None is ever left out."""
    assert schemas["TaskPublic"]["required"] == list(schemas["TaskPublic"]["properties"]) == list(MEMBERS)


@pytest.mark.parametrize("name", ["Problem", "ProblemFault"])
def test_member_of_a_problem_is_left_out_and_never_null(schemas: dict[str, Object], name: str) -> None:
    """As the service sends it."""
    assert schemas[name]["properties"].keys() > set(schemas[name]["required"])
    assert '"null"' not in json.dumps(schemas[name])


def test_query_parameter_is_never_null(document: Object) -> None:
    """A query cannot contain null: the text would be refused."""
    parameters = find_operations(document)["list_tasks"]["parameters"]

    assert [each["name"] for each in parameters if each["in"] == "query"] == list(TaskQuery.model_fields)
    assert '"null"' not in json.dumps(parameters)


def test_nullable_type_is_a_list_of_types(document: Object) -> None:
    """Only one with a name cannot be."""
    unions = [each["anyOf"] for each in find_objects(document) if "anyOf" in each]

    assert {json.dumps(union) for union in unions} == {
        '[{"$ref": "#/components/schemas/Priority"}, {"type": "null"}]',
        '[{"$ref": "#/components/schemas/TaskPublic"}, {"type": "null"}]',
    }


def test_operation_of_a_batch_has_a_name(schemas: dict[str, Object]) -> None:
    """A client that keeps operations until it can send them has a type for them."""
    assert schemas["Batch"]["properties"]["operations"]["items"] == {"$ref": "#/components/schemas/BatchOperation"}
    assert schemas["BatchOperation"]["discriminator"]["mapping"].keys() == {"create", "update", "delete"}


def test_choices_have_names(document: Object, schemas: dict[str, Object]) -> None:
    """A generator makes one type of each, and would otherwise make one for each use, with numbers."""
    assert {name for name, schema in schemas.items() if "enum" in schema} == {"Priority", "Sort", "Status"}
    assert len([each for each in find_objects(document) if "enum" in each]) == 3


def test_every_sort_has_a_name(schemas: dict[str, Object]) -> None:
    """That of an identifier, in any language."""
    names = schemas["Sort"]["x-enum-varnames"]

    assert len(set(names)) == len(schemas["Sort"]["enum"])
    assert dict(zip(schemas["Sort"]["enum"], names, strict=True)).items() >= {
        ("due_at", "DUE_AT"),
        ("-due_at", "DUE_AT_DESC"),
    }


@pytest.mark.parametrize("model", INPUTS)
def test_body_has_what_the_service_sets_with_its_type(schemas: dict[str, Object], model: type[BaseModel]) -> None:
    """A client that sends back what it read needs no cast; read-only members are no members of a form."""
    settable = model.model_fields.keys() - {"user_id"}
    members, public = schemas[model.__name__]["properties"], schemas["TaskPublic"]["properties"]

    assert list(members) == list(public)
    for name in public.keys() - settable:
        assert members[name] == {**public[name], "readOnly": True}
    for name in settable:
        assert "readOnly" not in members[name]


def test_version_is_a_long_integer(schemas: dict[str, Object]) -> None:
    """The database keeps 64 bits of it."""
    assert schemas["TaskPublic"]["properties"]["version"]["format"] == "int64"


# Examples


def test_every_schema_has_a_description_and_an_example_that_is_valid(schemas: dict[str, Object]) -> None:
    """An example is what "Try it out" sends, and what a reader copies."""
    for name, schema in schemas.items():
        referring = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        assert schema["description"], name
        for example in schema["examples"]:
            OAS31Validator(referring).validate(example)


def test_service_takes_the_examples(schemas: dict[str, Object]) -> None:
    """Its own rules are stricter than any schema."""
    for model in (*INPUTS, TasksCompletion, TaskPublic):
        for example in schemas[model.__name__]["examples"]:
            assert model.model_validate(example).model_fields_set == example.keys()


def test_every_problem_has_an_example_of_its_type(document: Object) -> None:
    """A reader sees which errors an operation knows, and what they look like."""
    examples = document["components"]["examples"]

    for operation in find_operations(document).values():
        for status, response in operation["responses"].items():
            media = response.get("content", {}).get("application/problem+json", {"examples": {}})
            assert media["examples"] or status < "400", operation["operationId"]
            for name in media["examples"]:
                assert examples[name]["value"]["type"].endswith(f":{name}")
                assert str(examples[name]["value"]["status"]) == status
