"""What stands in the README of an exported archive."""

README = """工业互联网标识解析二级节点：企业全部数据的导出
manifest.json 列出全部文件的行数、字节数和 SHA-256；缺少它说明导出没有完成。
enterprise.json 企业档案，含联系人；prefixes 前缀；keys 访问密钥（不含私密部分）；attachments/ 附件原件。
每个前缀一个目录：templates 模板，ranges 号段，records 全部标识（含停用的、含私有值），
history 与 range-history 全部历史，import/<模板>.ndjson 与 .csv 可直接再次导入（标识在第一列，列名 identifier；
模板中有同名项时为 identifier_），内容相同的行答“未变化”。
NDJSON 与原值完全一致。CSV 为 UTF-8；以 = + - @ 等开头、会被表格软件当作公式的单元格
前面加了单引号（数字除外），因此含这类值时请导入 .ndjson。

Everything an enterprise owns at a secondary node of the industrial internet identifier resolution system.
manifest.json lists every file with rows, bytes and SHA-256; without it the export is not complete.
enterprise.json is the dossier with its contacts; prefixes; keys without their secrets; attachments/ the files.
A directory for each prefix: templates, ranges, records (all of them, retired ones and private values, too), history
and range-history, and import/<template>.ndjson and .csv to be imported again as they are: the first column, called
identifier, or identifier_ where an item of the template has that name, is the identifier; rows that say the same are
answered "unchanged".
NDJSON holds the exact values. CSV is UTF-8; a cell that a spreadsheet would take for a formula (= + - @ and the like,
but no number) has an apostrophe in front: where there are such values, import the .ndjson.
"""
