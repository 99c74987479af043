"""The OpenAPI document against what is served and what the model holds."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

import dlp.model
import dlp.service
import dlp.signatures.image
from dlp.api import views
from dlp.api.app import all_routes, create_app
from dlp.api.openapi import document
from dlp.api.parameters import IncidentParameters, VerdictParameters


@pytest.fixture(scope="module")
def described():
    return document(all_routes("1.2.3"), "1.2.3")


async def test_served(local, described):
    """The document served is the one made from the routes."""
    async with local.get("openapi.json") as response:
        assert described == await response.json()


async def test_every_route(gateway, described):
    """What the router serves and what the document says are the same."""
    app = create_app(gateway, None, version="1")
    served = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.method != "HEAD"
    }

    told = {(method, path) for path, methods in described["paths"].items() for method in methods}

    assert served == told
    assert 25 == len(told)


def test_references(described):
    """Each reference leads to a schema, and each schema is referred to."""
    text = json.dumps(described)
    referred = set(re.findall(r'"#/components/schemas/(\w+)"', text))

    assert referred == set(described["components"]["schemas"])


def test_operations(described):
    """Each has an id of its own, a summary, a success and the common problems."""
    operations = [
        operation for methods in described["paths"].values() for operation in methods.values()
    ]

    assert len(operations) == len({operation["operationId"] for operation in operations})
    for operation in operations:
        assert operation["summary"]
        assert {"200", "400", "401", "403", "429", "500", "503"} <= set(operation["responses"])


def test_query_parameters(described):
    """Every parameter is described, none as null or required."""
    told = described["paths"]["/api/v1/verdicts"]["get"]["parameters"]

    assert set(VerdictParameters.model_fields) == {parameter["name"] for parameter in told}
    limit = next(parameter["schema"] for parameter in told if parameter["name"] == "limit")
    assert {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100} == limit
    assert "null" not in json.dumps(told)


def test_path_parameters(described):
    """A verdict's id is a number, a signature's a name."""
    kinds = {
        path: methods["get"]["parameters"][0]["schema"]["type"]
        for path, methods in described["paths"].items()
        if path.endswith("{id}")
    }

    assert {
        "/api/v1/verdicts/{id}": "integer",
        "/api/v1/signatures/{id}": "string",
    } == kinds


@pytest.mark.parametrize(
    ("view", "value"),
    [
        (views.Health, dlp.service.Health),
        (views.Workload, dlp.model.Workload),
        (views.Endpoint, dlp.model.Endpoint),
        (views.Flow, dlp.model.Flow),
        (views.Verdict, dlp.model.Verdict),
        (views.Incident, dlp.model.Incident),
        (views.Signature, dlp.signatures.image.ImageSignature),
        (views.Counter, dlp.model.Counter),
        (views.Stats, dlp.model.Stats),
        (views.ReloadResult, dlp.service.ReloadResult),
    ],
)
def test_fields(view, value):
    """A view has the fields of the value it shows, no more and no fewer."""
    assert {field.name for field in dataclasses.fields(value)} == set(view.model_fields)


@pytest.mark.parametrize(
    ("model", "field", "labels"),
    [
        (views.Verdict, "action", {action.label for action in dlp.model.Action}),
        (views.Verdict, "decided", set(dlp.model.DecidedBy)),
        (views.Workload, "mode", set(dlp.model.Mode)),
        (views.Workload, "state", set(dlp.model.WorkloadState)),
        (views.Workload, "guard", set(dlp.model.Protection)),
        (views.Incident, "kind", set(dlp.model.IncidentKind)),
    ],
)
def test_labels(model, field, labels):
    """The labels in the schema are those of the enum."""
    assert labels == set(model.model_json_schema()["properties"][field]["enum"])


def test_needed_body(described):
    """A quarantine without a body does not fit, a reload does."""
    paths = described["paths"]

    assert paths["/api/v1/workloads/{name}/quarantine"]["post"]["requestBody"]["required"]
    assert not paths["/api/v1/reload"]["post"]["requestBody"]["required"]


def test_kind_filter():
    """The filter of incidents takes every kind."""
    schema = IncidentParameters.model_json_schema()["properties"]["kind"]["anyOf"][0]

    assert set(dlp.model.IncidentKind) == set(schema["enum"])


def test_action_filter():
    """The action filter takes every action."""
    schema = VerdictParameters.model_json_schema()["properties"]["action"]["anyOf"][0]

    assert {action.label for action in dlp.model.Action} == set(schema["enum"])
