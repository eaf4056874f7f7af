"""Calls that give no coroutine, so that `await` of their result comes too late."""

import ast

from offload_dev.lint.functions.function import is_abstract
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.names import ORM
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.tree import CodeScope

# What these modules have waits without giving way, whatever `await` says.
PLAIN = Patterns(
    "{requests,time,subprocess,urllib,shutil,smtplib}.*",
    "django.core.{cache,mail,management,files}.*",
    "django.db.models.{FileField,ImageField}.*",
    "django.http.HttpRequest.session.*",
    "django.shortcuts.{get_object_or_404,get_list_or_404,render}",
    "django.contrib.auth.{authenticate,login,logout,get_user,update_session_auth_hash}",
)
# Their async variants.
ASYNC = Patterns(
    "django.core.cache.*.a{get,set,add,delete,touch,has_key,incr,decr,clear,close}*",
    "django.http.HttpRequest.session.a*",
    "django.core.mail.a*",
)
ASYNC_TYPES = ("Awaitable", "Coroutine", "Future", "Task")
OF_CLASSES = {"builtins.staticmethod", "builtins.classmethod"}


def is_plain(origin: str, resolver: Resolver) -> bool:
    """Whether what a call names is no coroutine function, and runs before `await`. Three cases:

    1. A query, or a method of a row, of a model of this project.
    2. A plain function of Python, or of Django.
    3. A plain function of this project.
    """
    holder, _, method = origin.rpartition(".")
    scope = resolver.function(origin)
    if scope is not None:
        return _is_plain_function(scope, method, resolver)
    if method in ORM["evaluating"] and resolver.queries.is_query(holder):
        query = resolver.models.query(holder)
        return query is not None and resolver.models.is_model(query.model)
    if method in ORM["on_rows"] and resolver.models.is_model(holder):
        return True
    return PLAIN.matches(origin) and not ASYNC.matches(origin)


def _is_plain_function(scope: CodeScope, name: str, resolver: Resolver) -> bool:
    if not isinstance(scope.node, ast.FunctionDef) or is_abstract(scope):
        return False
    if any(origin not in OF_CLASSES for origin, _ in resolver.decorators.of(scope)):
        return False
    returns = ast.unparse(scope.node.returns) if scope.node.returns is not None else ""
    heirs = resolver.classes.heirs(scope.owner.dotted) if scope.owner is not None else []
    others = (resolver.classes.method(heir.dotted, name) for heir in heirs)
    return not any(each in returns for each in ASYNC_TYPES) and not any(
        other is not None and other.on_loop for other in others
    )
