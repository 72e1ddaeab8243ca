"""Accounts, sessions, keys and partners as JSON, for the API and the command line."""

from typing import Any
from uuid import UUID

from registry.principals import ROLES, SCOPES, Principal
from registry.store.accounts import AccountRow, SessionRow
from registry.store.grants import Grant
from registry.store.invitations import InvitationRow
from registry.store.keys import KeyRow


def format_account(row: AccountRow) -> dict[str, Any]:
    """Without e-mail and mobile, which are personal."""
    return {
        "account_id": row.account_id,
        "user_name": row.user_name,
        "roles": row.roles,
        "enterprise_id": row.enterprise_id,
        "enterprise": row.enterprise_name or None,
        "organisation": row.organisation or None,
        "division_code": row.division_code or None,
        "unit_id": row.unit_id,
        "hashed_sign_in": row.has_hashed_signin,
        "second_factor": row.has_totp,
        "created": row.created,
        "disabled": row.disabled,
    }


def format_principal(principal: Principal) -> dict[str, Any]:
    """What somebody may know of himself."""
    return {
        "kind": principal.kind,
        "actor": principal.actor,
        "user_name": principal.user_name or None,
        "access_key": principal.access_key or None,
        "roles": [role for role in ROLES if role in principal.roles],
        "scopes": [scope for scope in SCOPES if scope in principal.scopes],
        "enterprise_id": principal.enterprise_id,
        "prefixes": list(principal.prefixes),
        "organisation": principal.organisation or None,
        "partner_of": sorted(principal.partner_of),
        "division_code": principal.division_code or None,
        "unit_id": principal.unit_id,
    }


def format_session(row: SessionRow, current: UUID | None) -> dict[str, Any]:
    """`current`: the one the caller has come with."""
    return {
        "session_id": row.session_id,
        "how": row.how,
        "address": row.address,
        "user_agent": row.user_agent,
        "created": row.created,
        "seen": row.seen,
        "expires": row.expires,
        "current": row.session_id == current,
    }


def format_key(key: KeyRow) -> dict[str, Any]:
    """Without its secret."""
    return {
        "access_key": key.access_key,
        "enterprise_id": key.enterprise_id,
        "enterprise": key.enterprise_name,
        "organisation": key.organisation or None,
        "note": key.note,
        "scopes": key.scopes,
        "networks": key.networks,
        "created": key.created,
        "expires": key.expires,
        "revoked": key.revoked,
    }


def format_invitation(row: InvitationRow) -> dict[str, Any]:
    """Without its link, of which only a hash is kept."""
    return {
        "invitation_id": row.invitation_id,
        "roles": row.roles,
        "enterprise_id": row.enterprise_id,
        "enterprise": row.enterprise_name or None,
        "organisation": row.organisation or None,
        "area": row.area or None,
        "remark": row.remark,
        "created": row.created,
        "created_by": row.created_by,
        "expires": row.expires,
        "revoked": row.revoked,
    }


def format_grant(grant: Grant) -> dict[str, Any]:
    return {
        "prefix": grant.prefix,
        "organisation": grant.organisation,
        "name": grant.name or None,
        "created": grant.created,
        "revoked": grant.revoked,
    }
