"""The OpenAPI 3.1 document, made from the table of routes and the pydantic models."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from dlp.api import problems, views
from dlp.api.parameters import MAX_ID
from dlp.api.routes import BASE, Route
from dlp.releases.metadata import VERSION

COMPONENT = "#/components/schemas/{model}"
COMMON_PROBLEMS = {
    400: "A parameter is unknown or does not fit",
    401: "No valid token (TCP)",
    403: "The token's role does not suffice (TCP)",
    429: "Too many requests without a valid token (TCP)",
    500: "The gateway failed; `incident` names the entry of its log",
    503: "The gateway cannot answer now",
}
OWN_PROBLEMS = {
    404: "There is none",
    409: "Not possible in the present state; nothing changed",
    413: "The body is larger than it may be",
    415: "The body is not of the type that is taken here",
    422: "A release, the configuration or a pack is at fault; what is live stays live",
}


def document(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """The whole document as a JSON object."""
    routes = tuple(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(BASE + route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "DLP egress gateway",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        # The unix socket needs no token.
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": {
            "schemas": _schemas(routes),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{route.method.lower()}{route.path}").strip("_"),
        "summary": route.summary,
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": {"200": _success(route), **_failures(route)},
    }
    if route.body:
        operation["requestBody"] = {
            "required": route.needs_body,
            "content": {"application/json": {"schema": _reference(route.body)}},
        }
    if route.takes:
        schema = {"type": "string", "format": "binary"}
        operation["requestBody"] = {"required": True, "content": {route.takes: {"schema": schema}}}
    return operation


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    number = {"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_ID}
    text = {"type": "string"}
    version = {"type": "integer", "minimum": 1, "maximum": VERSION}
    schemas = {"version": version, "id": number if route.numbered else text}
    return [
        {"name": name, "in": "path", "required": True, "schema": schemas.get(name, text)}
        for name in re.findall(r"{(\w+)}", route.path)
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    schema = route.parameters.model_json_schema()
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _value(parameter)}
        for name, parameter in schema.get("properties", {}).items()
    ]


def _value(schema: dict[str, Any]) -> dict[str, Any]:
    """Without the null of an optional parameter: in a query it is left out, never null."""
    kept = {key: value for key, value in schema.items() if key not in {"title", "anyOf"}}
    if kept.get("default", 0) is None:
        del kept["default"]
    for choice in schema.get("anyOf", ()):
        if choice.get("type") != "null":
            kept |= choice
    return kept


def _success(route: Route) -> dict[str, Any]:
    schema = _reference(route.view) if route.view else {"type": "string"}
    media = route.media.partition(";")[0]
    if media == "application/json" and not route.view:
        schema = {"type": "object"}
    return {"description": route.summary, "content": {media: {"schema": schema}}}


def _failures(route: Route) -> dict[str, Any]:
    content = {problems.MEDIA_TYPE: {"schema": _reference(views.ProblemDetails)}}
    told = COMMON_PROBLEMS | {status: OWN_PROBLEMS[status] for status in route.problems}
    return {
        str(status): {"description": description, "content": content}
        for status, description in sorted(told.items())
    }


def _schemas(routes: tuple[Route, ...]) -> dict[str, Any]:
    sent: list[type[BaseModel]] = [views.ProblemDetails]
    sent += [route.view for route in routes if route.view]
    taken = [route.body for route in routes if route.body]
    modes: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        *((model, "serialization") for model in dict.fromkeys(sent)),
        *((model, "validation") for model in dict.fromkeys(taken)),
    ]
    _, schema = models_json_schema(modes, ref_template=COMPONENT)
    definitions: dict[str, Any] = schema["$defs"]
    return definitions


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": COMPONENT.format(model=model.__name__)}
