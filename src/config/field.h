#pragma once

// How a table of fields is written. A Value<T> knows how to read one node into a T, how to show a
// default, and its Shape: what help texts and the JSON Schema say. A Record<T> lists the fields of
// a struct; reading, schema, reference page and `explain` all come from that list.
//
//   const Record<Breaker>& breaker() {
//     static const Record<Breaker> table(
//         "Breaker", "Limits of one service.", "",
//         {{"connections", &Breaker::connections, count<std::uint32_t>(1), "Open connections."},
//          {"retries", &Breaker::retries, count<std::uint32_t>(0), "Retries.", Flag::later}});
//     return table;
//   }
//
// Flag::later marks what the language has and this version does not yet do: using it is an error
// that says so. Enabling it is the removal of that word.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/model.h"
#include "config/yaml.h"

namespace outrigger::config {

enum class Flag { none, required, later };

struct Choice {
  std::string name;
  bool later = false;
};

struct RecordInfo;

// What may stand in a place, for people and tools.
struct Shape {
  enum class Kind { unsupported, text, integer, boolean, choice, list, map, record };
  Kind kind = Kind::unsupported;
  std::string noun = {};      // "duration", "address"
  std::string pattern = {};   // a scalar's text, as an ECMA 262 expression; empty: any
  std::string key_noun = {};  // of a map: what its keys name
  bool digits = false;        // its text may be a bare number
  std::vector<Choice> choices = {};
  std::uint64_t least = 0;
  std::uint64_t most = 0;
  const RecordInfo* record = nullptr;
  std::shared_ptr<const Shape> element = {};  // of a list or map

  bool is_scalar() const;
};

struct FieldInfo {
  std::string key;
  std::string help;
  Shape shape;
  std::string preset;  // the default as one would write it; empty: none
  Flag flag = Flag::none;
};

struct RecordInfo {
  std::string title;
  std::string help;
  std::string main;  // the field that a scalar stands for; empty: none
  std::vector<FieldInfo> fields;

  const FieldInfo* find(std::string_view key) const;
};

// Where reading stands, and where its errors go.
class Reader {
 public:
  explicit Reader(Report& report) : report_(report) {}
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // Extends the path while it lives.
  class Step {
   public:
    Step(Reader& reader, std::string_view key);
    Step(Reader& reader, std::size_t index);
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;
    ~Step() { reader_.path_.resize(size_); }

   private:
    Reader& reader_;
    std::size_t size_;
  };

  // "services.orders.endpoints[0]"; empty at the top.
  const std::string& path() const { return path_; }
  bool full() const { return report_.full(); }
  bool abandoned() const { return report_.abandoned(); }

  // Reports "PATH: message".
  void error(const YamlNode& at, const std::string& message);
  // Reports the message alone.
  void plain_error(const Place& at, const std::string& message);
  // Reports what a decoder said about a scalar, without showing what a variable holds.
  void decode_error(const YamlNode& at, const std::string& noun, const std::string& message);
  void not_yet(const YamlNode& at, const std::string& what);

  // The text of a scalar; null and an error when `node` is none.
  const std::string* scalar(const YamlNode& node, const std::string& noun);
  // Whether `node` can be read as a list or map; an empty value counts as an empty one.
  bool list(const YamlNode& node, const std::string& noun);
  bool map(const YamlNode& node, const std::string& noun);

 private:
  Report& report_;
  std::string path_;
};

template <typename T>
struct Value {
  Shape shape;
  std::function<void(Reader&, const YamlNode&, T&)> read;
  std::function<std::string(const T&)> show;
};

template <typename T>
struct Field {
  FieldInfo info;
  std::function<void(Reader&, const YamlNode&, T&)> read;

  // A field that fills one member; its default is what the struct holds when made.
  template <typename M, typename Base>
  Field(std::string key, M Base::*member, Value<M> value, std::string help, Flag flag = Flag::none)
      : info{std::move(key), std::move(help), value.shape, "", flag},
        read([member, into = value.read](Reader& reader, const YamlNode& node, T& out) {
          into(reader, node, out.*member);
        }) {
    if (value.show) info.preset = value.show(T{}.*member);
  }
  // A field that fills the struct in its own way.
  Field(std::string key, Value<T> value, std::string help, Flag flag = Flag::none)
      : info{std::move(key), std::move(help), value.shape, "", flag}, read(value.read) {
    if (value.show) info.preset = value.show(T{});
  }
  // A field of the language that this version cannot read yet.
  Field(std::string key, std::string help)
      : info{std::move(key), std::move(help), {}, "", Flag::later} {}
};

// Reads the entries of a map by the table: unknown and later keys, missing ones, each field in the
// order of the table. `read` gets the index of a field and its node.
void read_record(Reader& reader, const RecordInfo& info, const YamlNode& node,
                 const std::function<void(std::size_t, const YamlNode&)>& read);

Position position_of(const Place& place);

template <typename T>
class Record {
 public:
  Record(std::string title, std::string help, std::string main, std::vector<Field<T>> fields)
      : info_{std::move(title), std::move(help), std::move(main), {}} {
    for (Field<T>& field : fields) {
      info_.fields.push_back(std::move(field.info));
      readers_.push_back(std::move(field.read));
    }
  }
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;

  const RecordInfo& info() const { return info_; }

  // Fills `out`; what the node does not mention stays as it is.
  void read(Reader& reader, const YamlNode& node, T& out) const {
    if constexpr (requires { out.at.line; }) out.at = position_of(node.place);
    read_record(reader, info_, node, [&](std::size_t field, const YamlNode& value) {
      if (readers_[field]) readers_[field](reader, value, out);
    });
  }

 private:
  RecordInfo info_;
  std::vector<std::function<void(Reader&, const YamlNode&, T&)>> readers_;
};

}  // namespace outrigger::config
