"""Clients of remote stores: addresses, regions and credentials as the usual environment and files have them.

The danger that lives here is secrets: they go from where they are kept to the library that signs with them, never into
an error or a log. ``s3://`` takes what every tool of AWS takes (``AWS_*``, ``~/.aws``, profiles, roles; through
botocore, where the environment does not have the keys themselves), ``gs://`` Google's application default credentials.
Where there are none, requests go out unsigned. Knows nothing of what is stored.
"""

from __future__ import annotations

import base64
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from octree_loader.sources.base import SourceError
from octree_loader.sources.locations import RemoteLocation

#: One attempt ends after so long, and there is one more: together less than what a load may take.
TIMEOUT_SECONDS, CONNECT_SECONDS, RETRIES = 20, 5, 1

#: About so long after it.
PAUSE_SECONDS = 0.1

#: Options of locations on other machines.
REMOTE_OPTIONS = frozenset({"anonymous", "endpoint", "region", "profile"})

#: Credentials that do not say when they expire are asked for again after so long.
_REFRESH = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Access:
    """How a remote store is reached; None is to be found out.

    `endpoint` replaces the service's own address, `anonymous` sends no credentials, `profile` is one of ``~/.aws``.
    """

    anonymous: bool | None = None
    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None


def access_options(options: Mapping[str, Any], where: str) -> Access:
    """Check the options of a remote location. Raises `SourceError`."""
    unknown = sorted(set(options) - REMOTE_OPTIONS)
    if unknown:
        raise SourceError(
            f"{where} does not take the option {', '.join(unknown)}: it takes {', '.join(sorted(REMOTE_OPTIONS))}; "
            f"credentials come from the environment"
        )
    anonymous = options.get("anonymous")
    if anonymous is not None and not isinstance(anonymous, bool):
        raise SourceError(f"the option anonymous is {anonymous!r}: it is true or false")
    texts: dict[str, str] = {}
    for key in ("endpoint", "region", "profile"):
        value = options.get(key)
        if value is None:
            continue
        if not isinstance(value, str) or not value or not value.isprintable():
            raise SourceError(f"the option {key} is {value!r}: give a text")
        texts[key] = value
    endpoint = texts.get("endpoint", "")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise SourceError(f"the option endpoint is {endpoint!r}: give http://machine:port or https://machine")
    if where.startswith("http") and (set(texts) or anonymous is not None):
        raise SourceError(f"{where} is a plain URL: the options {', '.join(sorted(options))} are for s3:// and gs://")
    return Access(anonymous, **texts)


def open_client(location: RemoteLocation, access: Access) -> Any:
    """The obstore store whose root is `location`. Sends nothing yet, but for credentials."""
    if location.scheme == "s3":
        return _open_s3(location, access)
    if location.scheme == "gs":
        return _open_gcs(location, access)
    from obstore.store import HTTPStore

    options = _client_options()
    header = authorization(location)
    if header is not None:
        options["default_headers"] = {"authorization": header}
    return HTTPStore.from_url(location.url, client_options=options, retry_config=_retry())


def authorization(location: RemoteLocation) -> str | None:
    """The header for a URL that has a user and a password."""
    return f"Basic {base64.b64encode(location.login.encode()).decode()}" if location.login else None


def _client_options() -> Any:
    return {
        "allow_http": True,  # whoever writes http:// means it
        "timeout": timedelta(seconds=TIMEOUT_SECONDS),
        "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        "user_agent": "octree-serve",
    }


def _retry() -> Any:
    # Few and soon: the scheduler tries again by itself, later, and lets others go first.
    return {
        "max_retries": RETRIES,
        "retry_timeout": timedelta(seconds=2 * TIMEOUT_SECONDS),
        "backoff": {
            "init_backoff": timedelta(seconds=PAUSE_SECONDS),
            "max_backoff": timedelta(seconds=1),
            "base": 2,
        },
    }


# --- S3 --------------------------------------------------------------------------------------------------------------


def _open_s3(location: RemoteLocation, access: Access) -> Any:
    from obstore.store import S3Store

    environment = os.environ
    profile = access.profile or environment.get("AWS_PROFILE")
    keys = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    endpoint = access.endpoint or environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    region = access.region or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    config: dict[str, Any] = {}
    session: Any = None
    if access.profile or (not access.anonymous and not all(keys)) or (not region and _aws_files()):
        session = _aws_session(profile, location.shown)
        region = region or session.get_config_variable("region")
        endpoint = endpoint or _profile_endpoint(session)
    if access.anonymous:
        config["skip_signature"] = True
    elif access.profile is None and all(keys):
        config["access_key_id"], config["secret_access_key"] = keys
        if environment.get("AWS_SESSION_TOKEN"):
            config["session_token"] = environment["AWS_SESSION_TOKEN"]
    else:
        credentials = _aws_credentials(session, location.shown)
        if credentials is not None:
            config["credential_provider"] = _provider(credentials)
        elif access.anonymous is False:
            raise SourceError(f"{location.shown}: there are no credentials of AWS, and anonymous is false")
        else:
            config["skip_signature"] = True
    if endpoint:
        config["endpoint"] = endpoint
    config["region"] = region or ("us-east-1" if endpoint else _bucket_region(location.host))
    return S3Store(
        location.host, prefix=location.path, client_options=_client_options(), retry_config=_retry(), **config
    )


def _aws_files() -> bool:
    places = (("AWS_CONFIG_FILE", "~/.aws/config"), ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"))
    return any(os.path.exists(os.path.expanduser(os.environ.get(name, path))) for name, path in places)


def _aws_session(profile: str | None, shown: str) -> Any:
    import botocore.session

    session = botocore.session.Session(profile=profile)
    try:
        session.get_scoped_config()
    except Exception as error:
        raise SourceError(f"{shown}: the configuration of AWS cannot be used: {error}") from None
    return session


def _profile_endpoint(session: Any) -> str | None:
    found = session.get_scoped_config().get("endpoint_url")
    return found if isinstance(found, str) else None


def _aws_credentials(session: Any, shown: str) -> Any:
    """botocore's credentials, or None if there are none."""
    if not _made_by("amazon"):
        # Nothing answers at the metadata service's address elsewhere, and to wait for that takes seconds.
        session.get_component("credential_provider").remove("iam-role")
    try:
        return session.get_credentials()
    except Exception as error:
        raise SourceError(f"{shown}: the credentials of AWS cannot be used: {type(error).__name__}") from None


def _provider(credentials: Any) -> Any:
    """What obstore asks for credentials whenever the last ones have expired."""

    def provide() -> dict[str, Any]:
        frozen = credentials.get_frozen_credentials()
        expires = getattr(credentials, "_expiry_time", None)
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": expires if isinstance(expires, datetime) else datetime.now(UTC) + _REFRESH,
        }

    return provide


def _bucket_region(bucket: str) -> str:
    """The region that S3 says a bucket lies in; it tells anybody, also with an error."""
    request = urllib.request.Request(f"https://s3.amazonaws.com/{bucket}", method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=CONNECT_SECONDS) as response:
            headers = response.headers
    except urllib.error.HTTPError as error:
        headers = error.headers
        error.close()
    except (OSError, ValueError):
        return "us-east-1"
    return headers.get("x-amz-bucket-region") or "us-east-1"


# --- Google ----------------------------------------------------------------------------------------------------------


def _open_gcs(location: RemoteLocation, access: Access) -> Any:
    from obstore.store import GCSStore

    endpoint = access.endpoint or os.environ.get("STORAGE_EMULATOR_HOST")
    config: dict[str, Any] = {}
    if endpoint:
        config["base_url"] = (endpoint if "://" in endpoint else f"http://{endpoint}").rstrip("/")
    if access.anonymous or (access.anonymous is None and not _google_credentials()):
        config["skip_signature"] = True
    try:
        return GCSStore(
            location.host, prefix=location.path, client_options=_client_options(), retry_config=_retry(), **config
        )
    except Exception as error:  # a file of credentials that it cannot use
        raise SourceError(
            f"{location.shown}: the credentials of Google cannot be used ({type(error).__name__}): "
            f"check the file that GOOGLE_APPLICATION_CREDENTIALS names"
        ) from None


def _google_credentials() -> bool:
    names = ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY")
    if any(os.environ.get(name) for name in names):
        return True
    return Path("~/.config/gcloud/application_default_credentials.json").expanduser().exists() or _made_by("google")


def _made_by(maker: Literal["amazon", "google"]) -> bool:
    """Whether this machine is one of that maker's: then its metadata service has credentials."""
    for name in ("sys_vendor", "bios_vendor", "product_name"):
        try:
            if maker in Path("/sys/class/dmi/id", name).read_text().lower():
                return True
        except OSError:
            pass
    return "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" in os.environ if maker == "amazon" else False
