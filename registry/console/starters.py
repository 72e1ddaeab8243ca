"""Starter templates (domain.md appendix 3.7), taken with one click and then the enterprise's own."""

from typing import Any

# type, Chinese, English, kind of data, visibility
_Item = tuple[str, str, str, str, str]

_QUALITY: tuple[_Item, ...] = (
    ("productName", "产品名称", "Product name", "text", "public"),
    ("model", "型号", "Model", "text", "public"),
    ("batchNo", "批次", "Batch", "text", "public"),
    ("mfgDate", "生产日期", "Produced on", "date", "public"),
    ("expiry", "有效期", "Best before", "date", "public"),
    ("line", "产线", "Line", "text", "private"),
    ("inspector", "检验员", "Inspector", "text", "private"),
    ("result", "检验结果", "Inspection result", "text", "public"),
    ("certUrl", "合格证", "Certificate", "url", "public"),
    ("brand", "品牌", "Brand", "text", "public"),
    ("manufacturer", "生产企业", "Manufacturer", "text", "public"),
)
_SUPPLY: tuple[_Item, ...] = (
    ("orderNo", "订单号", "Order number", "text", "partner"),
    ("supplier", "供方标识", "Supplier's identifier", "text", "partner"),
    ("consignee", "收货方", "Consignee", "text", "partner"),
    ("parentBox", "上级包装", "Outer package", "text", "partner"),
    ("qty", "数量", "Quantity", "number", "partner"),
    ("shipTime", "发运时间", "Shipped on", "date", "partner"),
    ("carrier", "承运方", "Carrier", "text", "partner"),
)
_LIFE: tuple[_Item, ...] = (
    ("bom", "物料清单引用", "Bill of materials", "text", "private"),
    ("serialNo", "序列号", "Serial number", "text", "public"),
    ("soldTo", "客户", "Customer", "text", "private"),
    ("installSite", "安装地", "Place of installation", "text", "partner"),
    ("warrantyEnd", "保修至", "Warranty until", "date", "public"),
    ("service", "服务记录引用", "Service record", "text", "partner"),
    ("recycle", "回收状态", "Recycling", "text", "public"),
)
_MAINTENANCE: tuple[_Item, ...] = (
    ("deviceName", "设备名称", "Device", "text", "public"),
    ("ratedParam", "额定参数", "Rated parameters", "text", "public"),
    ("sensorList", "传感器清单", "Sensors", "text", "partner"),
    ("runHours", "运行小时数", "Hours run", "number", "partner"),
    ("nextService", "下次保养", "Next service", "date", "partner"),
    ("healthScore", "健康评分", "Health score", "number", "partner"),
    ("alarmRule", "报警规则", "Alarm rule", "text", "private"),
)
_CARBON: tuple[_Item, ...] = (
    ("carbonFactor", "碳排放因子", "Carbon factor", "number", "public"),
    ("energyUse", "能耗", "Energy used", "number", "partner"),
    ("recycledRatio", "再生材料比例", "Recycled share", "number", "public"),
    ("reportRef", "报告引用", "Report", "text", "public"),
)
_TERMINAL: tuple[_Item, ...] = (
    ("terminalType", "终端类型", "Type of terminal", "text", "public"),
    ("owner", "所有者", "Owner", "text", "partner"),
    ("usage", "用途", "Use", "text", "public"),
    ("imei", "IMEI", "IMEI number", "text", "private"),
    ("netLicenceNo", "入网许可证号", "Network licence number", "text", "public"),
    ("netLicenceCode", "许可证扰码", "Licence scrambling code", "text", "private"),
    ("netLicenceSn", "许可证序列号", "Licence serial number", "text", "private"),
)
# What a common client of the SNMS interface sends as its only template version (domain.md §d.9).
_ONE_CODE: tuple[_Item, ...] = (
    ("name", "名称", "Name", "text", "public"),
    ("model", "型号", "Model", "text", "public"),
    ("batchNo", "批次", "Batch", "text", "public"),
    ("mfgDate", "生产日期", "Produced on", "text", "public"),
    ("manufacturer", "生产企业", "Manufacturer", "text", "public"),
    ("remarks", "备注", "Remarks", "text", "public"),
)
# version → Chinese name, English name, stage, items
_KITS: dict[str, tuple[str, str, str, tuple[_Item, ...]]] = {
    "quality-1": ("质量追溯", "Quality traceability", "production", _QUALITY),
    "supply-1": ("供应链协同", "Supply chain", "supply", _SUPPLY),
    "lifecycle-1": ("产品全生命周期", "Product life cycle", "service", _LIFE),
    "maintenance-1": ("预测性维护", "Predictive maintenance", "service", _MAINTENANCE),
    "carbon-1": ("绿色与碳足迹", "Green and carbon", "production", _CARBON),
    "terminal-1": ("主动标识载体终端", "Active terminal", "production", _TERMINAL),
    "OneCodeDefault": ("一物一码（SNMS 缺省）", "One code per item (SNMS default)", "production", _ONE_CODE),
}


def list_starters() -> dict[str, dict[str, Any]]:
    """Version → the document of its template."""
    return {version: _make_document(version) for version in _KITS}


def _make_document(version: str) -> dict[str, Any]:
    zh, en, stage, items = _KITS[version]
    return {
        "name": {"zh": zh, "en": en},
        "version": version,
        "stage": stage,
        "active_carrier": version == "terminal-1",
        "items": [
            {"type": kind, "name": {"zh": name_zh, "en": name_en}, "data": data, "visibility": visibility}
            for kind, name_zh, name_en, data, visibility in items
        ],
    }


def list_known_names() -> dict[str, str]:
    """Chinese and English names of the starters' items → their type, for columns that are called so."""
    return {
        name: kind for _, _, _, items in reversed(_KITS.values()) for kind, zh, en, _, _ in items for name in (zh, en)
    }
