package tokens

import (
	"html"
	"regexp"
	"strings"
)

// htmlLimit is how much of a page is searched for what it says.
const htmlLimit = 64 << 10

var (
	htmlStart   = regexp.MustCompile(`(?i)^<(!doctype html|html|head|body)\b`)
	htmlTitle   = regexp.MustCompile(`(?is)<title(?:\s[^>]*)?>(.*?)</title\s*>`)
	htmlUnshown = regexp.MustCompile(`(?is)<!--.*?(?:-->|$)|<(?:script\b.*?(?:</script\s*>|$)|style\b.*?(?:</style\s*>|$)|title\b.*?(?:</title\s*>|$))`)
	htmlTag     = regexp.MustCompile(`(?s)<[/!?A-Za-z][^>]*(?:>|$)`)
)

// isHTML reports whether an answer is a page, such as a proxy's or a login page.
func isHTML(text, contentType string) bool {
	media := mediaType(contentType)
	return media == "text/html" || media == "application/xhtml+xml" || htmlStart.MatchString(text)
}

// htmlSummary is what a page says: its title, else its text, of which clean keeps the
// first words. Secrets are blanked before tags are taken out, which could tear one.
func htmlSummary(page string, secrets sensitive) string {
	page = secrets.blank(page)
	page = page[:min(len(page), htmlLimit)]
	if title := htmlTitle.FindStringSubmatch(page); title != nil {
		if said := secrets.clean(plainText(title[1])); said != "" {
			return said
		}
	}
	return secrets.clean(plainText(htmlUnshown.ReplaceAllString(page, " ")))
}

// plainText is a piece of HTML without its tags.
func plainText(piece string) string {
	return strings.TrimSpace(html.UnescapeString(htmlTag.ReplaceAllString(piece, " ")))
}
