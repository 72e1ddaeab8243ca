"""Access keys, rights and the node's key file."""

from schemas.texts.table import Text

TEXTS: dict[str, Text] = {
    "key_wrong": Text(
        "访问密钥无效或已吊销。",
        "The access key is not valid, or was revoked.",
        "请核对 Authorization 头：Bearer <access_key>.<secret_key>；密钥遗失时请重新创建。",
        "Check the header Authorization: Bearer <access_key>.<secret_key>; make a new key if its secret was lost.",
    ),
    "key_missing": Text(
        "该操作需要访问密钥。",
        "This needs an access key.",
        "请在 Authorization 头中提供 Bearer <access_key>.<secret_key>，密钥用 idnode key add 创建。",
        "Send the header Authorization: Bearer <access_key>.<secret_key>; idnode key add makes one.",
    ),
    "key_not_found": Text(
        "没有访问密钥 {access_key}。",
        "There is no access key {access_key}.",
        "请在密钥列表中核对。",
        "The list of keys shows all there are.",
    ),
    "key_revoked_already": Text(
        "访问密钥 {access_key} 已经吊销。",
        "The access key {access_key} was revoked already.",
        "无需再次操作。",
        "There is nothing left to do.",
    ),
    "key_is_limited": Text(
        "此访问密钥限定了用途，供系统调用接口，不能登录控制台。",
        "This access key is limited to some uses: it is for systems that call the interfaces and opens no console.",
        "请用账户登录；账户由企业管理员或节点运营管理员开立。",
        "Sign in with an account; your enterprise's administrator or the operator makes one.",
    ),
    "key_note_too_long": Text(
        "密钥的用途有 {length} 个字符，最多 {limit} 个。",
        "What the key is for has {length} characters; the limit is {limit}.",
        "请缩短。",
        "Shorten it.",
    ),
    "operator_only": Text(
        "只有节点运营方可以进行该操作。",
        "Only the operator of the node may do this.",
        "请联系节点运营方。",
        "Ask the operator of the node.",
    ),
    "secret_key_readable": Text(
        "密钥文件 {path} 的权限为 {mode}，其他账号可以读取。",
        "The key file {path} has mode {mode}: other accounts can read it.",
        "请运行 chmod 600 {path}。",
        "Run chmod 600 {path}.",
    ),
    "secret_key_unreadable": Text(
        "密钥文件 {path} 无法读取或建立：{reason}。",
        "The key file {path} can neither be read nor made: {reason}.",
        "请检查该文件及其目录的属主和权限，或用 IDNODE_SECRET_KEY_FILE 指定另一文件。",
        "Check owner and mode of the file and its directory, or name another file in IDNODE_SECRET_KEY_FILE.",
    ),
    "secret_key_malformed": Text(
        "密钥文件 {path} 的内容不正确：{reason}。",
        "The key file {path} is malformed: {reason}.",
        "请从备份恢复该文件；每行须为“编号:密钥的 base64”。新密钥无法打开旧数据。",
        "Restore it from the backup; a line is key_id:base64. A new key does not open what an old one sealed.",
    ),
}
