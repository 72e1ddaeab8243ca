"""Sentences of the API reference in Chinese: connection certificates."""

CERTIFICATES: dict[str, str] = {
    "certificates": "接入证明",
    "Issue a connection certificate": "出具接入证明",
    "For a firm that is connected. The PDF is at `/certificates/{number}/file`.": (
        "为已接入的企业出具；PDF 在 `/certificates/{number}/file`。"
    ),
    "List connection certificates": "列出接入证明",
    "Newest first; an enterprise sees its own.": "新的在前；企业只看到自己的。",
    "Only of this enterprise.": "只列该企业的。",
    "One connection certificate": "一份接入证明",
    "Its signed PDF": "带签名的 PDF",
    "Byte for byte as it was issued.": "与出具时逐字节相同。",
    "Revoke a connection certificate": "撤销接入证明",
    "Who verifies the number is told so, with the reason.": "查验该编号的人会看到撤销及原因。",
    "Verify a connection certificate by its number": "凭编号查验接入证明",
    "For anybody who has the number: what it says, and whether it still holds. Browsers are led to a page.": (
        "供持有编号的任何人使用：证明的内容，以及现在是否仍然成立；浏览器转到页面。"
    ),
}
