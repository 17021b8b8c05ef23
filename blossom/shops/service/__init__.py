"""The use cases of the tenant: its settings and keys (flushed; who calls commits), and its access to Shopify, which
manages its own transactions wherever Shopify is called."""

from blossom.shops.service.access import client, renew_expiring
from blossom.shops.service.installing import Installed, describe, describe_new, install, install_by_code
from blossom.shops.service.leaving import forget_access, hold_access, note_scopes, require_installed, uninstall
from blossom.shops.service.settings import (
    LAST_USED_EVERY,
    authenticate_api_key,
    create_api_key,
    create_shop,
    forget_trial_numbers,
    note_proxy_path,
    revoke_api_key,
    set_trial_numbers,
    update_settings,
)
from blossom.shops.service.staff import known_rights, note_staff, read_rights, rights_are_old

__all__ = [
    "LAST_USED_EVERY",
    "Installed",
    "authenticate_api_key",
    "client",
    "create_api_key",
    "create_shop",
    "describe",
    "describe_new",
    "forget_access",
    "forget_trial_numbers",
    "hold_access",
    "install",
    "install_by_code",
    "known_rights",
    "note_proxy_path",
    "note_scopes",
    "note_staff",
    "read_rights",
    "renew_expiring",
    "require_installed",
    "revoke_api_key",
    "rights_are_old",
    "set_trial_numbers",
    "uninstall",
    "update_settings",
]
