#include "config/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <unordered_map>
#include <utility>

#include "config/yaml_hints.h"
#include "config/yaml_text.h"

namespace outrigger::config {
namespace {

// Ends yaml-cpp's run from inside one of its callbacks; never leaves this file.
struct Stop {};

// Receives yaml-cpp's events and builds the tree. Positions: its marks count from zero and in
// bytes; an empty value's mark is wherever the next token stands, so that its key's is taken.
class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(const Source& source, const YamlLimits& limits, Report& report, YamlNode& root)
      : source_(source), limits_(limits), report_(report), root_(root) {}

  // Flow collections that were opened and not closed, innermost last: for hints.
  std::vector<Place> open_flows() const {
    std::vector<Place> out;
    for (const Frame& frame : stack_) {
      if (frame.flow) out.push_back(frame.node.place);
    }
    return out;
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ == 0) return;
    const Place place = place_of(mark);
    const bool marked = source_.line(place.line).substr(0, 3) == "---";
    stop(place, marked || place.line == 1
                    ? "a second document begins here; a configuration must be a single document"
                    : "this does not fit the lines above it; check the indentation");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    YamlNode node;
    node.place = place_of(mark);
    const bool spelled = scalar_text(source_, node.place).is_null_word();
    if (!stack_.empty() && !expects_key() && !(spelled && stack_.back().node.is_list())) {
      const Frame& frame = stack_.back();
      node.place = frame.has_key ? frame.key.place : frame.node.place;
    }
    add(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end())
      stop(place_of(mark), "this alias is inside the node that it refers to");
    spend(found->second.size, place_of(mark));
    sizes_ += found->second.size - weight(found->second.node);
    add(found->second.node, 0);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode node;
    node.kind = YamlNode::Kind::scalar;
    node.place = place_of(mark);
    node.quoted = tag != "?";
    node.text = value;
    refuse_tag(tag, node.place);
    measure(node);
    const std::size_t size = weight(node);
    add(std::move(node), anchor, size);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value style) override {
    open(YamlNode::Kind::list, mark, tag, anchor, style);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override {
    open(YamlNode::Kind::map, mark, tag, anchor, style);
  }
  void OnMapEnd() override { close(); }

 private:
  // A collection being filled. In a map a key waits for its value.
  struct Frame {
    YamlNode node;
    YamlNode key;
    bool has_key = false;
    bool flow = false;
    YAML::anchor_t anchor = 0;
    std::size_t size_before = 0;
    std::unordered_map<std::string, int> keys;  // and the line of each
  };
  struct Anchored {
    YamlNode node;
    std::size_t size = 1;
  };

  Place place_of(const YAML::Mark& mark) const {
    return {&source_, std::max(1, mark.line + 1), std::max(1, mark.column + 1), 1};
  }
  [[noreturn]] void stop(const Place& place, std::string_view message) {
    report_.error(place, message);
    throw Stop{};
  }
  void spend(std::size_t nodes, const Place& place) {
    const std::size_t taken = sizes_ + kept_;
    if (nodes > limits_.nodes_max || taken > limits_.nodes_max - nodes) {
      stop(place, "too many values: more than " + std::to_string(limits_.nodes_max) +
                      ", counting the contents of anchors and aliases");
    }
  }
  void refuse_tag(const std::string& tag, const Place& place) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    report_.error(place, "tags such as " + quoted(tag) + " are not supported here; remove it");
  }

  // Finds how far a scalar reaches on its line, and what yaml-cpp accepts but nobody means: a quote
  // that is never closed and an unquoted value that swallowed the next line.
  void measure(YamlNode& node) {
    const ScalarText found = scalar_text(source_, node.place);
    const bool whole = found.plain && found.begins_with(node.text);
    node.place.length = std::max(1, whole ? static_cast<int>(node.text.size()) : found.length);
    if (found.unclosed) stop(node.place, "this quote is never closed");
    if (!node.quoted && found.plain && !whole) {
      stop(node.place, hint_for_long_plain(found.rest));
    }
  }

  void open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag,
            YAML::anchor_t anchor, YAML::EmitterStyle::value style) {
    Frame frame;
    frame.node.kind = kind;
    frame.node.place = place_of(mark);
    frame.flow = style == YAML::EmitterStyle::Flow;
    frame.anchor = anchor;
    refuse_tag(tag, frame.node.place);
    if (expects_key()) stop(frame.node.place, hint_for_complex_key(frame.node.place));
    if (static_cast<int>(stack_.size()) >= limits_.depth_max) {
      stop(frame.node.place,
           "nested too deeply: more than " + std::to_string(limits_.depth_max) + " levels");
    }
    frame.size_before = sizes_;
    stack_.push_back(std::move(frame));
  }

  void close() {
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    frame.node.items.shrink();
    frame.node.entries.shrink();
    add(std::move(frame.node), frame.anchor, sizes_ - frame.size_before + 1);
  }

  bool expects_key() const {
    return !stack_.empty() && stack_.back().node.is_map() && !stack_.back().has_key;
  }

  // In values: what aliases copy of long texts counts too.
  static std::size_t weight(const YamlNode& node) { return 1 + node.text.size() / 256; }

  // Hands a finished value to the collection around it.
  void add(YamlNode node, YAML::anchor_t anchor, std::size_t size = 1) {
    if (report_.abandoned()) throw Stop{};
    spend(weight(node), node.place);
    sizes_ += weight(node);
    if (anchor != 0) {
      spend(size, node.place);
      kept_ += size;
      anchors_[anchor] = {node, size};
    }
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = stack_.back();
    if (frame.node.is_list()) {
      frame.node.items.push_back(std::move(node));
    } else if (!frame.has_key) {
      take_key(frame, std::move(node));
    } else {
      frame.has_key = false;
      if (frame.key.is_null() || (frame.flow && lacks_space(frame.key, node))) return;
      frame.node.entries.push_back({std::move(frame.key), std::move(node)});
    }
  }

  void take_key(Frame& frame, YamlNode key) {
    frame.has_key = true;
    if (key.is_null()) {
      report_.error(key.place, "a key is missing here; quote it if it should be 'null' or '~'");
    } else if (!key.is_scalar()) {
      report_.error(key.place, "a key must be a scalar");
      key = YamlNode{};
    } else if (key.text == "<<" && !key.quoted) {
      report_.error(key.place,
                    "merge keys (<<) are not supported; use 'defaults' or repeat "
                    "the fields");
      key = YamlNode{};
    } else if (const auto known = frame.keys.find(key.text); known != frame.keys.end()) {
      report_.error(key.place, "key " + quoted(key.text) +
                                   " is given twice; it is already in line " +
                                   std::to_string(known->second));
      key = YamlNode{};
    } else {
      frame.keys.emplace(key.text, key.place.line);
    }
    frame.key = std::move(key);
  }

  // {status:200} is one key without a value.
  bool lacks_space(const YamlNode& key, const YamlNode& value) {
    if (key.quoted || !value.is_null()) return false;
    const std::size_t colon = key.text.find(':');
    if (colon == 0 || colon == std::string::npos || colon + 1 == key.text.size()) return false;
    report_.error(key.place,
                  "write a space after the colon: " +
                      quoted(key.text.substr(0, colon + 1) + " " + key.text.substr(colon + 1)));
    return true;
  }

  const Source& source_;
  const YamlLimits& limits_;
  Report& report_;
  YamlNode& root_;
  std::vector<Frame> stack_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  std::size_t sizes_ = 0;
  std::size_t kept_ = 0;  // in anchors_
  int documents_ = 0;
};

}  // namespace

const YamlEntry* YamlNode::find_entry(std::string_view key) const {
  for (const YamlEntry& entry : entries) {
    if (entry.key.text == key) return &entry;
  }
  return nullptr;
}

const YamlNode* YamlNode::find(std::string_view key) const {
  const YamlEntry* entry = find_entry(key);
  return entry == nullptr ? nullptr : &entry->value;
}

bool parse_yaml(const Source& source, const YamlLimits& limits, Report& report, YamlNode& root) {
  if (source.text().size() > limits.bytes_max) {
    report.error({&source, 0, 0, 0},
                 "the file is larger than " + std::to_string(limits.bytes_max) + " bytes");
    return false;
  }
  if (!check_text(source, report)) return false;
  TreeBuilder builder(source, limits, report, root);
  try {
    std::istringstream in(source.text());
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Stop&) {
    return false;
  } catch (const YAML::Exception& error) {
    // Its mark counts from zero; -1 when it has none.
    const Place place{&source, std::max(1, error.mark.line + 1), std::max(1, error.mark.column + 1),
                      1};
    const Hint hint = hint_for_syntax_error(place, error.msg, builder.open_flows());
    report.error(hint.place, hint.message);
    return false;
  }
  return true;
}

}  // namespace outrigger::config
