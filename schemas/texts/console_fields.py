"""What a field of the console's forms is called there."""

# Field of a form → its label's key, where that is not the same. `contact.email` is `contact_email` here.
FIELD_LABELS: dict[str, str] = {
    "certificate_code": "d_code", "nature": "d_nature", "description": "d_description", "main_products": "d_products",
    "website": "d_website", "registration_authority": "d_authority", "registered_capital_yuan": "d_capital",
    "established_on": "d_established", "valid_until": "d_valid_until", "certificate_image_id": "d_licence",
    **{
        f"{person}_{name}": key
        for person in ("contact", "legal_person")
        for name, key in (
            ("name", "p_name"), ("certificate_type", "p_type"), ("certificate_number", "p_number"),
            ("email", "p_email"), ("phone", "p_phone"), ("front_image_id", "p_front"), ("back_image_id", "p_back"),
        )
    },
    "text": "search", "division": "area", "from": "fig_from", "to": "fig_to", "until": "registered_to",
    "day": "outbox_day", "table": "outbox_table", "as_of": "plan_as_of", "unit": "fig_unit", "measure": "fig_measure",
    "job": "batch", "range_first": "range", "lines": "lines_printed", "identifier_column": "code_column",
    "enterprise_id": "enterprise", "networks": "key_networks", "expires": "key_expires", "code": "second_factor_code",
    "repeated": "repeat_password", "remark": "invitation_remark", "replace": "plan_replace", "value": "plan_value",
    "target": "plan_enter_target", "users": "application_users", "developer": "application_developer",
    "intro": "application_intro", "recursion": "application_recursion", "recursion_ip": "application_recursion_ip",
    "recursion_port": "application_recursion_port",
}  # fmt: skip
