"""What a command line can have wrong beside what every edge can."""

from schemas.texts.table import Text

TEXTS: dict[str, Text] = {
    "key_for_whom": Text(
        "须指明密钥代表谁。",
        "Say whom the key is for.",
        "企业、运营方、合作组织只取其一（命令行用 --enterprise E、--operator 或 --partner USCC）。",
        "Name one alone: an enterprise, the operator or a partner (on the command line: --enterprise E, --operator or"
        " --partner USCC).",
    ),
    "time_malformed": Text(
        "“{text}”不是时间。",
        "“{text}” is not a time.",
        "请写成 2024-06-04T12:00:00+08:00。",
        "Write it as 2024-06-04T12:00:00+08:00.",
    ),
    "value_option_malformed": Text(
        "“{text}”不是“类型=值”的形式。",
        "“{text}” is not of the form TYPE=TEXT.",
        "例如 --value model=WQ15。",
        "For example --value model=WQ15.",
    ),
    "resolve_not_answered": Text(
        "{server} 没有回答：{problem}",
        "{server} did not answer: {problem}",
        "请确认节点正在运行（idnode up），并用 idnode doctor 检查端口。",
        "Check that the node runs (idnode up), and its ports with idnode doctor.",
    ),
    "resolve_refused": Text(
        "{server} 的回答是 {response} {name} {text}",
        "{server} answered {response} {name} {text}",
        "100 表示没有该标识，3 表示暂时不可用，301 表示不归本节点解析。",
        "100 means that there is no such identifier, 3 not now, 301 that another node is responsible.",
    ),
    "receipt_is_the_file": Text(
        "回执会覆盖要导入的文件 {path}。",
        "The receipt would overwrite the file {path} that is to be imported.",
        "请用 --receipt 指定另一个文件。尚未登记任何标识。",
        "Name another file by --receipt. Nothing was registered.",
    ),
    "receipt_place_unusable": Text(
        "回执文件 {path} 无法写入：{problem}。",
        "The receipt {path} cannot be written: {problem}.",
        "请用 --receipt 指定可以写入的位置。尚未登记任何标识。",
        "Name a place that can be written by --receipt. Nothing was registered.",
    ),
    "receipt_not_writable": Text(
        "回执文件 {path} 无法写入：{problem}。导入本身已完成，作业编号 {job}。",
        "The receipt {path} cannot be written: {problem}. The import itself is done, as job {job}.",
        "请换一个位置；再次导入同一文件不会重复登记。",
        "Name another place; importing the same file again registers nothing twice.",
    ),
    "server_malformed": Text(
        "“{text}”不是“主机:端口”的形式。",
        "“{text}” is not of the form HOST:PORT.",
        "例如 --server 127.0.0.1:2641。",
        "For example --server 127.0.0.1:2641.",
    ),
}

# Said when nothing is wrong: Chinese, English.
LABELS: dict[str, tuple[str, str]] = {
    "registered": ("已登记 {identifier}", "Registered {identifier}"),
    "updated": ("已更新 {identifier}", "Updated {identifier}"),
    "retired": ("已停用 {identifier}", "Retired {identifier}"),
    "restored": ("已恢复 {identifier}", "Restored {identifier}"),
    "frozen": ("已冻结 {identifier}", "Frozen {identifier}"),
    "unfrozen": ("已解冻 {identifier}", "Unfrozen {identifier}"),
    "range_added": (
        "已登记号段 {first} 至 {last}，共 {members} 个标识",
        "Registered {first} to {last}: {members} identifiers",
    ),
    "import_title": ("导入 {file}", "Importing {file}"),
    "import_counts": (
        "共 {rows} 行：登记 {registered}，更新 {updated}，未变 {unchanged}，不同 {differs}，拒绝 {refused}",
        "{rows} rows: {registered} registered, {updated} updated, {unchanged} unchanged, {differs} differ, "
        "{refused} refused",
    ),
    "import_dry": ("试运行，未写入任何数据", "A dry run: nothing was written"),
    "import_left": ("模板中没有、未导入的列：{columns}", "Columns without an item, left alone: {columns}"),
    "import_receipt": ("回执：{receipt}", "Receipt: {receipt}"),
    "resolved": ("{identifier}  由 {server} 解析", "{identifier}  resolved by {server}"),
    "referred": (
        "{identifier}  {server} 指向企业自建节点：",
        "{identifier}  {server} refers to the enterprise's own node:",
    ),
    "enterprise_added": (
        "已接入，企业编号 {enterprise_id}，前缀 {prefix}\n访问密钥 {access_key}\n密钥（只显示这一次）{secret_key}",
        "Connected as enterprise {enterprise_id} with the prefix {prefix}\naccess key {access_key}\n"
        "secret key (shown this once) {secret_key}",
    ),
    "enterprise_applied": (
        "已提交待审核，企业编号 {enterprise_id}，申请前缀 {prefix}；通过：idnode enterprise approve {enterprise_id}\n"
        "访问密钥 {access_key}\n密钥（只显示这一次）{secret_key}",
        "Filed as enterprise {enterprise_id}, asking for {prefix}; to approve it: "
        "idnode enterprise approve {enterprise_id}\naccess key {access_key}\nsecret key (shown this once) {secret_key}",
    ),
    "enterprises_loaded": (
        "接入 {connected} 家，未变 {unchanged} 家，拒绝 {refused} 家",
        "{connected} connected, {unchanged} unchanged, {refused} refused",
    ),
    "enterprises_not_written": (
        "未写入任何数据；上面“接入”的是可以接入的家数",
        "Nothing was written; “connected” counts what can be",
    ),
    "template_added": (
        "已添加模板 {version}，标识 {identifier}",
        "Added the template {version}; its identifier is {identifier}",
    ),
    "template_unchanged": ("模板 {version} 已存在且相同", "The template {version} exists and says the same"),
    "key_added": (
        "访问密钥 {access_key}\n密钥（只显示这一次）{secret_key}",
        "access key {access_key}\nsecret key (shown this once) {secret_key}",
    ),
    "key_revoked": ("已吊销 {access_key}", "Revoked {access_key}"),
    "no_differences": (
        "{day}：计数器与日志、登记历史一致",
        "{day}: the counters equal the log and the history of records",
    ),
}
