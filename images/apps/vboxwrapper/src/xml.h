// A strict reader for the small XML files that a project writes by hand (vbox_job.xml), and
// a lenient look-up for the one that the client writes (init_data.xml), which carries text
// of other people in the middle.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace vbw {

struct XmlNode {
    std::string name;
    std::string text;   // entities resolved, blanks around it removed
    int line = 0;
    std::vector<XmlNode> children;
};

struct XmlError {
    int line;
    std::string what;
};

// The root element. Comments, an XML declaration and self-closing tags are understood;
// attributes are refused, since BOINC's own reader knows none. Throws XmlError.
XmlNode parse_xml(const std::string& text);

std::string xml_escape(const std::string& text);

// The text of the first <tag>text</tag>; nothing if it is missing.
std::optional<std::string> find_tag(const std::string& text, const std::string& tag);

}  // namespace vbw
