#pragma once

// The kinds of values that fields are made of: scalars with their notations, lists, maps, and
// records inside records.

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "config/field.h"
#include "config/scalars.h"

namespace outrigger::config {

// What a scalar must be, for messages that may not show what it is: "duration", "one of a, b".
std::string wanted(const Shape& shape);

// A scalar that `decode` turns into a T (std::string_view -> Result<T>).
template <typename T, typename Decode>
Value<T> scalar(Shape shape, Decode decode, std::function<std::string(const T&)> show) {
  const std::string noun = shape.noun;
  return {shape,
          [noun, wanted = wanted(shape), decode](Reader& reader, const YamlNode& node, T& out) {
            const std::string* text = reader.scalar(node, noun);
            if (text == nullptr) return;
            auto decoded = decode(*text);
            if (decoded) {
              out = *std::move(decoded);
            } else {
              reader.decode_error(node, wanted, decoded.error().message);
            }
          },
          std::move(show)};
}

using TextCheck = std::function<Result<std::string>(const std::string&)>;

// Text that `check` accepts and may rewrite.
Value<std::string> text(std::string noun, TextCheck check, std::string pattern = "");
// Any text on one line.
Value<std::string> text(std::string noun = "text");
// Letters, digits, '.', '_' and '-'.
Value<std::string> name();
// The name of a service: a host name could be it, so no capitals.
Value<std::string> service_name();
// A path of a file; relative ones are relative to the file that names them.
Value<std::string> file_path();
// A whole SPIFFE ID, or "spiffe://domain/path/*" for every ID below that path.
Value<std::string> spiffe_id_pattern();
Value<std::string> cidr();
// A protocol as the Upgrade field names it.
Value<std::string> upgrade_protocol();
Value<std::string> one_of(std::vector<std::string> words);
Value<bool> boolean();
Value<Millis> duration(Millis least = Millis(1));
Value<std::uint64_t> size();
// A percentage as a share of one.
Value<double> share();
Value<Address> dial_address();
Value<Address> listen_address();

// Checks that other values are made of.
Result<std::string> check_line(const std::string& text);
Result<std::string> check_service_name(const std::string& text);
Result<std::string> check_header_name(const std::string& text);
Result<std::string> check_upgrade(const std::string& text);
Result<std::string> check_header_value(const std::string& text);

template <typename T>
Value<T> count(T least = 0, T most = std::numeric_limits<T>::max()) {
  Shape shape{.kind = Shape::Kind::integer, .noun = "whole number"};
  shape.least = static_cast<std::uint64_t>(least);
  shape.most = static_cast<std::uint64_t>(most);
  return scalar<T>(
      shape,
      [least = shape.least, most = shape.most](const std::string& from) -> Result<T> {
        const auto number = parse_integer(from, least, most);
        if (!number) return number.error();
        return static_cast<T>(*number);
      },
      [](const T& value) { return std::to_string(value); });
}

template <typename E>
struct Named {
  const char* name;
  E value;
  Flag flag = Flag::none;
};

// "'fast' is none of a, b, c", with the closest match.
std::string not_a_choice(const std::string& given, const std::vector<Choice>& choices);

template <typename E>
Value<E> choice(std::vector<Named<E>> names) {
  Shape shape{.kind = Shape::Kind::choice, .noun = "word"};
  for (const Named<E>& each : names) shape.choices.push_back({each.name, each.flag == Flag::later});
  const auto read = [names, choices = shape.choices, noun = wanted(shape)](
                        Reader& reader, const YamlNode& node, E& out) {
    const std::string* given = reader.scalar(node, "word");
    if (given == nullptr) return;
    for (const Named<E>& each : names) {
      if (*given != each.name) continue;
      if (each.flag == Flag::later) {
        reader.not_yet(node, reader.path() + ": " + quoted(each.name));
      } else {
        out = each.value;
      }
      return;
    }
    reader.decode_error(node, noun, not_a_choice(*given, choices));
  };
  const auto show = [names](const E& value) {
    for (const Named<E>& each : names) {
      if (each.value == value) return std::string(each.name);
    }
    return std::string();
  };
  return {std::move(shape), read, show};
}

template <typename T>
Value<T> record(const Record<T>& table) {
  Shape shape{.kind = Shape::Kind::record, .noun = "map of fields"};
  shape.record = &table.info();
  return {std::move(shape),
          [&table](Reader& reader, const YamlNode& node, T& out) { table.read(reader, node, out); },
          nullptr};
}

// Unset until it is read.
template <typename T>
Value<std::optional<T>> optional(Value<T> value) {
  return {value.shape,
          [read = value.read](Reader& reader, const YamlNode& node, std::optional<T>& out) {
            if (!out) out.emplace();
            read(reader, node, *out);
          },
          nullptr};
}

// "addresses", "maps of fields".
std::string plural(const std::string& noun);

// A list replaces what was there; a scalar stands for a list of one.
template <typename T>
Value<std::vector<T>> list(Value<T> item) {
  Shape shape{.kind = Shape::Kind::list, .noun = "list"};
  shape.element = std::make_shared<const Shape>(item.shape);
  const auto read = [item](Reader& reader, const YamlNode& node, std::vector<T>& out) {
    out.clear();
    const RecordInfo* table = item.shape.record;
    const bool scalar_item = item.shape.is_scalar() || (table != nullptr && !table->main.empty());
    if (node.is_scalar() && scalar_item) {
      item.read(reader, node, out.emplace_back());
      return;
    }
    if (!reader.list(node, plural(item.shape.noun))) return;
    for (std::size_t i = 0; i < node.items.size() && !reader.abandoned(); ++i) {
      const Reader::Step step(reader, i);
      item.read(reader, node.items[i], out.emplace_back());
    }
  };
  const auto show = [item](const std::vector<T>& values) {
    std::string out;
    for (const T& value : values)
      out += (out.empty() ? "" : ", ") + (item.show ? item.show(value) : "");
    return out.empty() ? out : "[" + out + "]";
  };
  return {std::move(shape), read, show};
}

// Entries by name; `key` checks the names.
template <typename T>
Value<std::map<std::string, T>> map_of(std::string key_noun, const TextCheck& key, Value<T> value) {
  Shape shape{.kind = Shape::Kind::map, .noun = "map", .key_noun = std::move(key_noun)};
  shape.element = std::make_shared<const Shape>(value.shape);
  const auto read = [key, value](Reader& reader, const YamlNode& node,
                                 std::map<std::string, T>& out) {
    out.clear();
    if (!reader.map(node, "a map")) return;
    for (const YamlEntry& entry : node.entries) {
      if (reader.abandoned()) return;
      const Reader::Step step(reader, entry.key.text);
      auto checked = key(entry.key.text);
      if (!checked) {
        reader.error(entry.key, checked.error().message);
        continue;
      }
      value.read(reader, entry.value, out[*checked]);
    }
  };
  return {std::move(shape), read, nullptr};
}

}  // namespace outrigger::config
