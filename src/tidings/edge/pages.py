"""The few pages of the edge itself: set-up, one-time links, the API's entrance and documentation, problem types."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route as PathRoute

from tidings.contracts import users
from tidings.edge.bodies import read_body
from tidings.edge.wording import in_words, schema_name
from tidings.platform import logs, tracing
from tidings.platform.contract import Call, FieldError, Refusal, Served
from tidings.platform.http.problems import (
    MEDIA_TYPE,
    Fault,
    NoSuchPath,
    UnsupportedMediaType,
    describe,
    invalid,
    known_refusals,
    problem_response,
)
from tidings.platform.request import Request, Viewer
from tidings.platform.settings import Settings
from tidings.platform.world import World

log = logs.get_logger("pages")

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none';"
        " base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "private, no-store",
}
TEMPLATES = Path(__file__).parent / "templates"
MOST_FORM = 16_384  # bytes
SPENT = 410  # Gone: a link that was used, has ended, or never was, since nobody can tell which

Page = Callable[[HttpRequest], Awaitable[Response]]


class Field(msgspec.Struct, frozen=True):
    """One line of a form."""

    name: str
    label: str
    kind: str = "text"
    hint: str = ""
    autocomplete: str = "off"


HANDLE = Field("handle", "Handle", hint="2 to 30 of a-z, 0-9 and _", autocomplete="username")
NAME = Field("name", "Name", hint="as friends see it", autocomplete="name")
PASSWORD = Field("password", "Password", "password", hint="at least 8 characters", autocomplete="new-password")


class Form(msgspec.Struct, frozen=True):
    """A page with one form: what it asks for, what it calls, and what it says afterwards."""

    path: str
    title: str
    intro: str
    button: str
    secret: str  # the parameter that carries the link's secret
    fields: tuple[Field, ...]
    body: Any
    call: Any
    ask: Any
    done: str
    trial: dict[str, str] = {}  # fields that are always refused, but after the link has been looked at
    spent: str = ""  # the template that is shown instead of the form when the link is spent


# A name that nobody could see, and a password that is the handle: no account comes of either.
NOBODY = {"handle": "nobody_at_all", "name": "\u200b", "password": "nobody_at_all"}

FORMS = (
    Form(
        "/setup", "Set up Tidings", "You are the first: make the administrator's account.", "Make the account",
        "link", (HANDLE, NAME, PASSWORD), users.FirstAdministrator, users.set_up.call, users.SetUp, "set_up",
        trial=NOBODY, spent="set_up_spent.html",
    ),
    Form(
        "/join", "Join", "Somebody invited you. Make your account.", "Make the account",
        "invite", (HANDLE, NAME, PASSWORD), users.NewUser, users.sign_up.call, users.SignUp, "joined",
    ),
    Form(
        "/signin", "Sign in", "This link signs you in once.", "Sign in",
        "link", (), users.NewSession, users.sign_in.call, users.SignIn, "signed_in",
    ),
    Form(
        "/reset", "Set a new password", "This link sets a new password once. Every session ends.",
        "Set the password",
        "link", (PASSWORD,), users.PasswordReset, users.reset_password.call, users.ResetPassword, "reset",
    ),
)  # fmt: skip


class Pages:
    """Minimal HTML; every form works without a script."""

    def __init__(self, world: World, settings: Settings, document: dict[str, Any]) -> None:
        self._world = world
        self._settings = settings
        self._document = document
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )

    def routes(self) -> list[PathRoute]:
        """Everything but the API."""
        forms = [PathRoute(form.path, self._form(form), methods=["GET", "POST"]) for form in FORMS]
        return [
            PathRoute("/", self._safely(self._home)),
            PathRoute("/v1", self._safely(self._entrance)),
            PathRoute("/docs", self._safely(self._docs)),
            PathRoute("/problems/{code}", self._safely(self._problem)),
            PathRoute("/style.css", self._style),
            *forms,
        ]

    def _page(self, template: str, status_code: int = 200, /, **values: Any) -> Response:
        html = self._environment.get_template(template).render(**values)
        return HTMLResponse(html, status_code=status_code, headers=HEADERS)

    async def _style(self, request: HttpRequest) -> Response:
        headers = {**HEADERS, "cache-control": "public, max-age=3600"}
        return Response((TEMPLATES / "style.css").read_bytes(), media_type="text/css", headers=headers)

    async def _home(self, request: HttpRequest) -> Response:
        return self._page("home.html", title="Tidings")

    async def _entrance(self, request: HttpRequest) -> Response:
        """For whoever opens the address of the API itself, as `tidings up` prints it."""
        info = self._document["info"]
        links = {"documentation": "/docs", "openapi": "/v1/openapi.json", "sign_in": "/v1/sessions"}
        return JSONResponse(
            {"name": info["title"], "version": info["version"], **links},
            headers={"cache-control": "public, max-age=60"},
        )

    async def _docs(self, request: HttpRequest) -> Response:
        by_tag: dict[str, list[dict[str, Any]]] = {}
        for path, operations in self._document["paths"].items():
            for method, operation in operations.items():
                responses = {status: _with_codes(one) for status, one in operation["responses"].items()}
                shown = {"method": method.upper(), "path": path, **operation, "responses": responses}
                by_tag.setdefault(operation["tags"][0], []).append(shown)
        return self._page(
            "docs.html",
            title="Tidings API",
            tags=[{**tag, "operations": by_tag[tag["name"]]} for tag in self._document["tags"]],
            schemas=self._document["components"]["schemas"],
            version=self._document["info"]["version"],
            about=self._document["info"]["description"].replace("`", ""),
            in_words=in_words,
            schema_name=schema_name,
        )

    async def _problem(self, request: HttpRequest) -> Response:
        refusal = known_refusals().get(request.path_params["code"])
        if refusal is None:
            raise NoSuchPath("There is no problem type of that name.")
        return self._page("problem.html", **describe(refusal))

    def _form(self, form: Form) -> Page:
        async def answer(request: HttpRequest) -> Response:
            given = dict(request.query_params) if request.method in ("GET", "HEAD") else await self._given(request)
            secret = str(given.get(form.secret, ""))
            if request.method in ("GET", "HEAD"):
                if secret and form.trial and await self._is_spent(form, secret):
                    return self._page(form.spent, SPENT, title=form.title)
                return self._show(form, secret, given={}, problem=None)
            fields = {form.secret: secret, **{field.name: given.get(field.name, "") for field in form.fields}}
            try:
                try:
                    body = msgspec.convert(fields, form.body)
                except msgspec.ValidationError as error:
                    return self._show(form, secret, fields, problem=None, errors=invalid(error), status=422)
                served = await self._call(form.call, form.ask(body=body))
            except Refusal as refusal:
                if form.spent and isinstance(refusal, users.LinkSpent):
                    return self._page(form.spent, SPENT, title=form.title)
                return self._show(form, secret, fields, problem=refusal, status=refusal.status)
            answer = msgspec.json.decode(served.body) if served.status != 204 else {}
            return self._page(
                "done.html",
                200 if served.status == 204 else served.status,
                title=form.title,
                kind=form.done,
                answer=answer,
                base=self._base(request),
            )

        return self._safely(answer)

    async def _is_spent(self, form: Form, secret: str) -> bool:
        """Whether the service refuses the link itself; it is not used up by asking.

        NOTE: no call only asks for a link's state, so the form is tried with what is never accepted.
        """
        try:
            body = msgspec.convert({**form.trial, form.secret: secret}, form.body)
        except msgspec.ValidationError:  # no link looks like that
            return True
        try:
            await self._call(form.call, form.ask(body=body))
        except users.LinkSpent:
            return True
        except Refusal:
            return False
        raise AssertionError(f"{form.path} accepted what it must refuse")

    async def _given(self, request: HttpRequest) -> dict[str, str]:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != "application/x-www-form-urlencoded":
            raise UnsupportedMediaType("This page takes its own form only.")
        body = await read_body(request, most=MOST_FORM, seconds=self._settings.body_timeout)
        pairs = parse_qsl(body.decode("utf-8", errors="replace"), keep_blank_values=True)
        return {name: value.replace("\0", "") for name, value in pairs}

    def _show(
        self,
        form: Form,
        secret: str,
        given: Mapping[str, str],
        problem: Refusal | None,
        errors: tuple[FieldError, ...] = (),
        status: int = 200,
    ) -> Response:
        hints = {field.name: field.hint for field in form.fields}
        wrong = {}
        for error in (*errors, *(problem.errors if problem else ())):
            name = error.pointer.removeprefix("/")
            wrong[name] = hints.get(name, error.detail) if "regex" in error.detail else error.detail
        return self._page(
            "form.html",
            status,
            title=form.title,
            form=form,
            secret=secret,
            given={name: value for name, value in given.items() if name != "password"},
            problem=problem.detail if problem else None,
            wrong=wrong,
        )

    async def _call(self, call: Call[Any, Served], ask: Any) -> Served:
        request = Request(viewer=Viewer(), caller="edge", deadline=time.monotonic() + 10)
        return await self._world.call(call, ask, request=request)

    def _base(self, request: HttpRequest) -> str:
        return (self._settings.public_url or f"{request.url.scheme}://{request.headers.get('host', '')}").rstrip(
            "/"
        )

    def _safely(self, page: Page) -> Page:
        """A refusal is a problem, a surprise is logged; both under one trace."""

        async def answer(request: HttpRequest) -> Response:
            parent = tracing.parse(request.headers.get("traceparent"))
            with tracing.span(f"page {request.url.path}", kind="server", parent=parent):
                try:
                    return await page(request)
                except Refusal as refusal:
                    return problem_response(refusal)
                except Exception:
                    log.exception("fault", path=request.url.path)
                    return problem_response(Fault("This is our mistake. Tell the operator the trace id."))

        return answer


def _with_codes(response: dict[str, Any]) -> dict[str, Any]:
    """A refusal's description as pairs of code and title."""
    if MEDIA_TYPE not in response.get("content", {}):
        return response
    pairs = [part.partition(": ")[::2] for part in response["description"].split(", ")]
    return {**response, "codes": [(code, title) for code, title in pairs if code in known_refusals()]}
