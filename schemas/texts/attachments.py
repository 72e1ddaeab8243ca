"""Files of dossiers."""

from schemas.texts.table import Text

TEXTS: dict[str, Text] = {
    "attachment_kind": Text(
        "文件不是完整的 JPEG、PNG、BMP 图片或 PDF（按内容判断，与文件名无关）。",
        "The file is no complete JPEG, PNG or BMP picture and no PDF, by its content, whatever its name says.",
        "请用图片或 PDF 软件重新保存后上传。",
        "Save it again with a program for pictures or PDF, and upload that.",
    ),
    "attachment_too_large": Text(
        "{kind} 文件有 {bytes} 字节，最多 {limit} 字节。",
        "The {kind} file has {bytes} bytes; the limit is {limit}.",
        "请缩小图片（不超过 1 MB）或 PDF（不超过 5 MB）。",
        "Make the picture smaller than 1 MB, the PDF smaller than 5 MB.",
    ),
    "attachment_upload_too_large": Text(
        "上传的内容超过 {limit} 字节。",
        "The upload has more than {limit} bytes.",
        "图片不超过 1 MB，PDF 不超过 5 MB，一次一个文件。",
        "A picture has at most 1 MB, a PDF at most 5 MB, and one file is sent at a time.",
    ),
    "attachment_missing": Text(
        "请求中没有名为 file 的文件。",
        "The request holds no file called file.",
        "请用 multipart/form-data 上传，字段名为 file。",
        "Send it as multipart/form-data, in a part called file.",
    ),
    "attachment_too_many": Text(
        "已有 {limit} 个上传后未使用的文件。",
        "There are {limit} files already that were uploaded and not used.",
        "请先在企业档案中使用它们；未使用的文件一天后自动删除。",
        "Use them in a dossier first; unused ones are deleted after a day.",
    ),
    "attachment_not_found": Text(
        "没有编号为 {attachment} 的附件。",
        "There is no attachment {attachment}.",
        "请先上传文件，再填写返回的编号；未使用的文件一天后自动删除。",
        "Upload the file first and give the number that was answered; unused files are deleted after a day.",
    ),
    "attachment_bound": Text(
        "附件 {attachment} 已被使用，一个附件只能用于一处。",
        "The attachment {attachment} is used already; each serves one place.",
        "请再次上传该文件，填写新的编号。",
        "Upload the file again and give the new number.",
    ),
    "attachment_lost": Text(
        "附件 {attachment} 的文件不在数据目录中。",
        "The file of the attachment {attachment} is not in the data directory.",
        "请由运营方从备份恢复 attachments 目录，或重新上传。",
        "Let the operator restore the directory attachments from the backup, or upload it again.",
    ),
}
