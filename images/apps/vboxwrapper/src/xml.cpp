#include "xml.h"

#include <algorithm>

#include "util.h"

namespace vbw {

namespace {

std::string unescape(const std::string& text) {
    static const std::pair<const char*, char> entities[] = {
        {"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}};
    std::string out;
    for (size_t i = 0; i < text.size();) {
        bool found = false;
        for (const auto& [entity, c] : entities) {
            if (text.compare(i, std::string(entity).size(), entity) == 0) {
                out += c;
                i += std::string(entity).size();
                found = true;
                break;
            }
        }
        if (!found) out += text[i++];
    }
    return out;
}

class Parser {
public:
    explicit Parser(const std::string& text) : text_(text) {}

    XmlNode root() {
        skip_between();
        if (at_ >= text_.size()) fail("the file is empty");
        XmlNode node = element(0);
        skip_between();
        if (at_ < text_.size()) fail("text after the end of <" + node.name + ">");
        return node;
    }

private:
    const std::string& text_;
    size_t at_ = 0;

    int line() const {
        return 1 + static_cast<int>(std::count(text_.begin(),
                                               text_.begin() + static_cast<long>(at_), '\n'));
    }
    [[noreturn]] void fail(const std::string& what) const { throw XmlError{line(), what}; }
    bool looking_at(const char* what) const { return text_.compare(at_, std::string(what).size(), what) == 0; }

    bool skip_comment() {
        const char* end = looking_at("<!--") ? "-->" : looking_at("<?") ? "?>" : nullptr;
        if (!end) return false;
        const size_t stop = text_.find(end, at_);
        if (stop == std::string::npos) fail("a comment that does not end");
        at_ = stop + std::string(end).size();
        return true;
    }

    void skip_between() {
        if (at_ == 0 && looking_at("\xef\xbb\xbf")) at_ += 3;
        while (at_ < text_.size()) {
            if (isspace(static_cast<unsigned char>(text_[at_]))) at_++;
            else if (!skip_comment()) return;
        }
    }

    XmlNode element(int depth) {
        if (depth > 8) fail("elements nested too deeply");
        XmlNode node;
        node.line = line();
        if (text_[at_] != '<') fail("text outside of an element");
        const size_t close = text_.find('>', at_);
        if (close == std::string::npos) fail("'<' without '>'");
        std::string tag = text_.substr(at_ + 1, close - at_ - 1);
        const bool empty = ends_with(tag, "/");
        if (empty) tag.pop_back();
        tag = trim(tag);
        if (tag.empty() || tag[0] == '/') fail("<" + tag + "> where an element was expected");
        const size_t blank = tag.find_first_of(" \t\r\n");
        if (blank != std::string::npos) {
            fail("<" + tag.substr(0, blank) + "> has an attribute; none is known");
        }
        node.name = tag;
        at_ = close + 1;
        if (empty) return node;
        std::string raw;
        for (;;) {
            if (at_ >= text_.size()) fail("<" + node.name + "> of line " + std::to_string(node.line) + " is not closed");
            if (skip_comment()) continue;
            if (looking_at("</")) {
                const size_t end = text_.find('>', at_);
                if (end == std::string::npos) fail("'</' without '>'");
                const std::string name = trim(text_.substr(at_ + 2, end - at_ - 2));
                if (name != node.name) {
                    fail("</" + name + "> closes <" + node.name + "> of line " + std::to_string(node.line));
                }
                at_ = end + 1;
                break;
            }
            if (text_[at_] == '<') node.children.push_back(element(depth + 1));
            else raw += text_[at_++];
        }
        node.text = unescape(trim(raw));
        if (!node.children.empty() && !node.text.empty()) {
            fail("text '" + node.text.substr(0, 40) + "' between the elements of <" + node.name + ">");
        }
        return node;
    }
};

}  // namespace

XmlNode parse_xml(const std::string& text) { return Parser(text).root(); }

std::string xml_escape(const std::string& text) {
    std::string out;
    for (char c : text) {
        if (c == '<') out += "&lt;";
        else if (c == '>') out += "&gt;";
        else if (c == '&') out += "&amp;";
        else out += c;
    }
    return out;
}

std::optional<std::string> find_tag(const std::string& text, const std::string& tag) {
    const std::string open = "<" + tag + ">", close = "</" + tag + ">";
    const size_t a = text.find(open);
    if (a == std::string::npos) return {};
    const size_t b = text.find(close, a);
    if (b == std::string::npos) return {};
    return unescape(trim(text.substr(a + open.size(), b - a - open.size())));
}

}  // namespace vbw
