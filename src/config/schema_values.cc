#include "config/schema_values.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace outrigger::config {
namespace {

Shape text_shape(std::string noun, std::string pattern = "") {
  return {.kind = Shape::Kind::text, .noun = std::move(noun), .pattern = std::move(pattern)};
}

// Text that may be a bare number.
Shape numeric_shape(std::string noun, std::string pattern) {
  Shape shape = text_shape(std::move(noun), std::move(pattern));
  shape.digits = true;
  return shape;
}

struct Condition {
  const char* name;
  RetryOn value;
};
constexpr std::array<Condition, 13> conditions{{
    {"refused_stream", RetryOn::refused_stream},
    {"not_processed", RetryOn::not_processed},
    {"reset", RetryOn::reset},
    {"reset_before_response", RetryOn::reset_before_response},
    {"gateway_error", RetryOn::gateway_error},
    {"5xx", RetryOn::server_error},
    {"retriable_4xx", RetryOn::retriable_4xx},
    {"retriable_headers", RetryOn::retriable_headers},
    {"cancelled", RetryOn::grpc_cancelled},
    {"deadline_exceeded", RetryOn::grpc_deadline_exceeded},
    {"internal", RetryOn::grpc_internal},
    {"resource_exhausted", RetryOn::grpc_resource_exhausted},
    {"unavailable", RetryOn::grpc_unavailable},
}};

// "503" or "500-504"; answers that end an exchange are 200 and above.
Result<StatusRange> parse_statuses(std::string_view text) {
  const std::size_t dash = text.find('-');
  const auto first = parse_integer(text.substr(0, dash), 200, 599);
  if (!first) return first.error();
  if (dash == std::string_view::npos)
    return StatusRange{static_cast<int>(*first), static_cast<int>(*first)};
  const auto last = parse_integer(text.substr(dash + 1), 200, 599);
  if (!last) return last.error();
  if (*last < *first) return Error{quoted(text) + " runs backwards"};
  return StatusRange{static_cast<int>(*first), static_cast<int>(*last)};
}

void read_condition(Reader& reader, const YamlNode& node, Retry& out,
                    const std::vector<Choice>& choices) {
  const std::string* given = reader.scalar(node, "condition");
  if (given == nullptr) return;
  for (const Condition& condition : conditions) {
    if (*given != condition.name) continue;
    out.retry_on.push_back(condition.value);
    return;
  }
  if (!given->empty() && (*given)[0] >= '0' && (*given)[0] <= '9') {
    const auto range = parse_statuses(*given);
    if (range) {
      out.statuses.push_back(*range);
    } else {
      reader.decode_error(node, "condition", range.error().message);
    }
    return;
  }
  reader.decode_error(node, "condition",
                      not_a_choice(*given, choices) + ", a status (503) or a range (500-504)");
}

Result<std::string> check_url_path(const std::string& text) {
  const auto wrong = [](char c) {
    return static_cast<unsigned char>(c) <= 0x20 || c == 0x7F || c == '?' || c == '#' || c == '\\';
  };
  if (text.empty() || text[0] != '/') return Error{quoted(text) + " does not begin with '/'"};
  if (std::any_of(text.begin(), text.end(), wrong)) {
    return Error{quoted(text) + " contains a space, '?', '#', '\\' or a control character"};
  }
  return text;
}

Result<TextMatch> parse_path_pattern(const std::string& text) {
  if (text.starts_with("~")) {
    const std::size_t start = text.find_first_not_of(' ', 1);
    if (start == std::string::npos) return Error{"a regular expression is missing after '~'"};
    return TextMatch{TextMatch::Kind::regex, text.substr(start)};
  }
  auto path = check_url_path(text);
  if (!path) return path.error();
  const std::size_t star = text.find('*');
  if (star == std::string::npos) return TextMatch{TextMatch::Kind::exact, text};
  const bool at_end = text.ends_with("/**") && star == text.size() - 2;
  if (!at_end) {
    return Error{quoted(text) +
                 ": '*' is only allowed in a final '/**'; use '~ REGEX' for anything else"};
  }
  return TextMatch{TextMatch::Kind::prefix, text.substr(0, star)};
}

Result<TextMatch> parse_host_pattern(const std::string& text) {
  const bool suffix = text.starts_with("*.");
  std::string host = suffix ? text.substr(1) : text;
  for (char& c : host) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  if (!host.empty() && host.back() == '.') host.pop_back();
  const auto wrong = [](char c) {
    return !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_');
  };
  if (host.empty() || std::any_of(host.begin(), host.end(), wrong)) {
    return Error{quoted(text) +
                 " is not a host; write orders.example.org or '*.example.org', "
                 "without a port"};
  }
  return TextMatch{suffix ? TextMatch::Kind::suffix : TextMatch::Kind::exact, std::move(host)};
}

Result<Destination> parse_destination(const std::string& text) {
  const std::size_t slash = text.find('/');
  auto service = check_service_name(text.substr(0, slash));
  if (!service) return service.error();
  Destination out;
  out.service = *std::move(service);
  if (slash != std::string::npos) out.subset = text.substr(slash + 1);
  if (slash != std::string::npos && out.subset.empty()) {
    return Error{quoted(text) + " names no subset after the '/'"};
  }
  return out;
}

Value<TextMatch> noting_variables(Value<TextMatch> value) {
  value.read = [read = value.read](Reader& reader, const YamlNode& node, TextMatch& out) {
    read(reader, node, out);
    out.from_variable = node.filled_in();
  };
  return value;
}

constexpr const char* destination_pattern = "[a-z0-9][a-z0-9._-]*(/.+)?";

}  // namespace

Value<int> language_version() {
  return scalar<int>(
      numeric_shape("version", "1"),
      [](const std::string& text) -> Result<int> {
        if (text == "1") return 1;
        return Error{quoted(text) + " is not a supported version; write 1"};
      },
      nullptr);
}

Value<int> worker_count() {
  return scalar<int>(
      numeric_shape("number of workers", "(auto|[1-9][0-9]*)"),
      [](const std::string& text) -> Result<int> {
        if (text == "auto") return 0;
        const auto number = parse_integer(text, 1, 256);
        if (!number) return Error{number.error().message + ", or auto"};
        return static_cast<int>(*number);
      },
      [](const int& value) { return value == 0 ? "auto" : std::to_string(value); });
}

Value<unsigned> file_mode() {
  return scalar<unsigned>(
      text_shape("file mode", "0?[0-7]{3}"),
      [](const std::string& text) -> Result<unsigned> {
        const bool octal = (text.size() == 3 || (text.size() == 4 && text[0] == '0')) &&
                           text.find_first_not_of("01234567") == std::string::npos;
        if (!octal) return Error{quoted(text) + " is not a mode in octal, such as 0600 or 0660"};
        return static_cast<unsigned>(std::stoul(text, nullptr, 8));
      },
      [](const unsigned& value) {
        std::string text = "0000";
        for (std::size_t i = 1; i < text.size(); ++i)
          text[i] = static_cast<char>('0' + ((value >> (9 - 3 * i)) & 7U));
        return text;
      });
}

Value<Runtime> memory_budget() {
  return {
      text_shape("percentage or size", R"([0-9]+(\.[0-9]+)?(%|B|KiB|MiB|GiB|TiB))"),
      [](Reader& reader, const YamlNode& node, Runtime& out) {
        const std::string* text = reader.scalar(node, "percentage or size");
        if (text == nullptr) return;
        if (text->ends_with("%")) {
          const auto hundredths = parse_percent(*text);
          if (hundredths && *hundredths > 0) {
            out.memory_share = static_cast<double>(*hundredths) / 10'000.0;
          } else {
            reader.decode_error(node, "percentage or size",
                                hundredths ? "0% is no memory at all" : hundredths.error().message);
          }
          return;
        }
        const auto bytes = parse_size(*text);
        if (bytes && *bytes > 0) {
          out.memory_bytes = *bytes;
        } else {
          reader.decode_error(node, "percentage or size",
                              bytes ? "0 is no memory at all" : bytes.error().message + ", or 80%");
        }
      },
      nullptr};
}

Value<Retry> retry_conditions() {
  Shape item{.kind = Shape::Kind::choice,
             .noun = "condition",
             .pattern = "[2-5][0-9][0-9](-[2-5][0-9][0-9])?"};
  item.digits = true;
  for (const Condition& condition : conditions) item.choices.push_back({condition.name, false});
  Shape shape{.kind = Shape::Kind::list, .noun = "list"};
  shape.element = std::make_shared<const Shape>(item);
  const auto read = [choices = item.choices](Reader& reader, const YamlNode& node, Retry& out) {
    out.retry_on.clear();
    out.statuses.clear();
    if (node.is_scalar()) return read_condition(reader, node, out, choices);
    if (!reader.list(node, "conditions")) return;
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const Reader::Step step(reader, i);
      read_condition(reader, node.items[i], out, choices);
    }
  };
  const auto show = [](const Retry& retry) {
    std::string out;
    for (const RetryOn value : retry.retry_on) {
      for (const Condition& condition : conditions) {
        if (condition.value == value)
          out += (out.empty() ? "" : ", ") + std::string(condition.name);
      }
    }
    return "[" + out + "]";
  };
  return {std::move(shape), read, show};
}

Value<Retry> backoff_range() {
  const std::string duration = R"([0-9]+(\.[0-9]+)?(ms|s|m|h))";
  return {text_shape("range of durations", duration + R"(\.\.)" + duration),
          [](Reader& reader, const YamlNode& node, Retry& out) {
            const std::string* text = reader.scalar(node, "range of durations");
            if (text == nullptr) return;
            const auto complain = [&](const std::string& message) {
              reader.decode_error(node, "range of durations", message);
            };
            const std::size_t dots = text->find("..");
            if (dots == std::string::npos) {
              return complain(quoted(*text) + " is not a range; write for example 25ms..250ms");
            }
            const auto base = parse_duration(std::string_view(*text).substr(0, dots));
            const auto most = parse_duration(std::string_view(*text).substr(dots + 2));
            if (!base) return complain(base.error().message);
            if (!most) return complain(most.error().message);
            if (*base > *most) return complain(quoted(*text) + " runs backwards");
            out.backoff_base = *base;
            out.backoff_max = *most;
          },
          [](const Retry& retry) {
            return show_duration(retry.backoff_base) + ".." + show_duration(retry.backoff_max);
          }};
}

Value<HealthCheck> health_target(HealthCheck::Kind kind, const Value<std::string>& path) {
  return {path.shape,
          [kind, read = path.read](Reader& reader, const YamlNode& node, HealthCheck& out) {
            out.kind = kind;
            read(reader, node, out.path);
          },
          nullptr};
}

Value<HealthCheck> health_tcp() {
  const Value<bool> value = boolean();
  return {value.shape,
          [read = value.read](Reader& reader, const YamlNode& node, HealthCheck& out) {
            bool on = false;
            read(reader, node, on);
            if (on) out.kind = HealthCheck::Kind::tcp;
          },
          nullptr};
}

Value<TextMatch> host_pattern() {
  return scalar<TextMatch>(text_shape("host"), parse_host_pattern, nullptr);
}

Value<TextMatch> path_pattern() {
  return noting_variables(
      scalar<TextMatch>(text_shape("path pattern", "(/|~).*"), parse_path_pattern, nullptr));
}

Value<TextMatch> text_match(TextMatch::Kind kind) {
  return noting_variables(scalar<TextMatch>(
      text_shape("text"),
      [kind](const std::string& text) -> Result<TextMatch> {
        const bool may_be_empty = kind == TextMatch::Kind::exact;
        if (text.empty() && !may_be_empty) return Error{"the text is empty"};
        return TextMatch{kind, text};
      },
      nullptr));
}

Value<TextMatch> presence(bool wanted) {
  return scalar<TextMatch>(
      {.kind = Shape::Kind::boolean, .noun = "boolean"},
      [wanted](const std::string& text) -> Result<TextMatch> {
        const auto given = parse_bool(text);
        if (!given) return given.error();
        return TextMatch{*given == wanted ? TextMatch::Kind::present : TextMatch::Kind::absent, ""};
      },
      nullptr);
}

Value<std::vector<NamedMatch>> named_matches(std::string noun, const TextCheck& check,
                                             const Value<TextMatch>& match) {
  Shape shape{.kind = Shape::Kind::map, .noun = "map", .key_noun = std::move(noun)};
  shape.element = std::make_shared<const Shape>(match.shape);
  const auto read = [check, match](Reader& reader, const YamlNode& node,
                                   std::vector<NamedMatch>& out) {
    out.clear();
    if (!reader.map(node, "a map of names and what they must hold")) return;
    for (const YamlEntry& entry : node.entries) {
      const Reader::Step step(reader, entry.key.text);
      auto name = check(entry.key.text);
      if (!name) {
        reader.error(entry.key, name.error().message);
        continue;
      }
      if (entry.value.is_map() && entry.value.entries.size() != 1) {
        reader.error(entry.value, "give one of exact, prefix, suffix, regex, present and absent");
        continue;
      }
      out.push_back({*std::move(name), {}});
      if (entry.value.is_null()) {
        reader.error(entry.value, "a value is missing; write {present: true} for any");
      } else {
        match.read(reader, entry.value, out.back().match);
      }
    }
  };
  return {std::move(shape), read, nullptr};
}

Value<std::string> http_method() {
  return text("method", [](const std::string& given) -> Result<std::string> {
    std::string upper = given;
    for (char& c : upper) {
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    if (upper != given) return Error{"methods are written in capitals: " + quoted(upper)};
    auto token = check_header_name(given);
    if (!token) return Error{quoted(given) + " is not a method"};
    return given;
  });
}

Value<std::vector<Destination>> destination() {
  return scalar<std::vector<Destination>>(
      text_shape("service or service/subset", destination_pattern),
      [](const std::string& text) -> Result<std::vector<Destination>> {
        auto one = parse_destination(text);
        if (!one) return one.error();
        return std::vector<Destination>{*std::move(one)};
      },
      nullptr);
}

Value<std::vector<Destination>> weighted_destinations() {
  const Value<double> percentage = share();
  Shape shape{.kind = Shape::Kind::map, .noun = "map", .key_noun = "service or service/subset"};
  shape.element = std::make_shared<const Shape>(percentage.shape);
  const auto read = [](Reader& reader, const YamlNode& node, std::vector<Destination>& out) {
    out.clear();
    if (!reader.map(node, "a map of destinations and their percentages")) return;
    std::uint32_t sum = 0;
    bool sound = true;
    for (const YamlEntry& entry : node.entries) {
      const Reader::Step step(reader, entry.key.text);
      auto to = parse_destination(entry.key.text);
      if (!to) reader.error(entry.key, to.error().message);
      const std::string* given = reader.scalar(entry.value, "percentage");
      if (!to || given == nullptr) {
        sound = false;
        continue;
      }
      const auto weight = parse_percent(*given);
      if (!weight) {
        reader.decode_error(entry.value, "percentage", weight.error().message);
        sound = false;
        continue;
      }
      to->weight = *weight;
      sum += *weight;
      out.push_back(*std::move(to));
    }
    if (sound && sum != 10'000) {
      reader.error(node, "the percentages add up to " + show_percent(sum) + ", not to 100%");
    }
  };
  return {std::move(shape), read, nullptr};
}

Value<std::string> editable_header() {
  return text("header name", [](const std::string& given) -> Result<std::string> {
    auto name = check_header_name(given);
    if (!name) return name;
    if (*name == "host") return Error{"use 'rewrite: {host: …}' to change the host"};
    constexpr std::array<std::string_view, 9> framing{
        "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te",
        "trailer",        "proxy-connection",  "expect"};
    if (std::find(framing.begin(), framing.end(), *name) != framing.end()) {
      return Error{quoted(*name) + " controls message framing and cannot be edited"};
    }
    return name;
  });
}

Value<HeaderList> header_values() {
  const Value<std::string> name = editable_header();
  const Value<std::string> value = header_value();
  Shape shape{.kind = Shape::Kind::map, .noun = "map", .key_noun = "header"};
  shape.element = std::make_shared<const Shape>(value.shape);
  const auto read = [name, value](Reader& reader, const YamlNode& node, HeaderList& out) {
    out.clear();
    if (!reader.map(node, "a map of headers and their values")) return;
    for (const YamlEntry& entry : node.entries) {
      const Reader::Step step(reader, entry.key.text);
      auto& [key, text] = out.emplace_back();
      name.read(reader, entry.key, key);
      value.read(reader, entry.value, text);
    }
  };
  return {std::move(shape), read, nullptr};
}

Value<int> redirect_status() {
  Value<int> out =
      choice<int>({{"301", 301}, {"302", 302}, {"303", 303}, {"307", 307}, {"308", 308}});
  out.shape.digits = true;
  return out;
}

Value<std::string> url_path() {
  return text("URL path", check_url_path, "/.*");
}

Value<std::string> header_value() {
  return text("header value", check_header_value);
}

Value<std::string> answer_body() {
  return text("text", [](const std::string& given) -> Result<std::string> {
    constexpr std::size_t body_max = 64 * 1024;
    if (given.size() > body_max) return Error{"the body of an answer is limited to 64KiB"};
    return given;
  });
}

Value<AccessLog> always_logged() {
  Shape item = text_shape("condition", R"((errors|slow ?> ?[0-9]+(\.[0-9]+)?(ms|s|m|h)))");
  Shape shape{.kind = Shape::Kind::list, .noun = "list"};
  shape.element = std::make_shared<const Shape>(std::move(item));
  const auto read_one = [](Reader& reader, const YamlNode& node, AccessLog& out) {
    const std::string* given = reader.scalar(node, "condition");
    if (given == nullptr) return;
    if (*given == "errors") {
      out.always_errors = true;
      return;
    }
    std::string text = *given;
    std::erase(text, ' ');
    if (!text.starts_with("slow>")) {
      return reader.decode_error(
          node, "condition", quoted(*given) + " is neither errors nor, for example, slow>500ms");
    }
    const auto slower = parse_duration(std::string_view(text).substr(5));
    if (!slower) return reader.decode_error(node, "condition", slower.error().message);
    out.always_slower = *slower;
  };
  const auto read = [read_one](Reader& reader, const YamlNode& node, AccessLog& out) {
    out.always_errors = false;
    out.always_slower.reset();
    if (node.is_scalar()) return read_one(reader, node, out);
    if (!reader.list(node, "conditions")) return;
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const Reader::Step step(reader, i);
      read_one(reader, node.items[i], out);
    }
  };
  return {std::move(shape), read, nullptr};
}

Value<std::string> log_target() {
  Value<std::string> path = file_path();
  const auto read = [read_path = path.read](Reader& reader, const YamlNode& node,
                                            std::string& out) {
    const bool word = node.text == "stdout" || node.text == "stderr" || node.text == "none";
    if (node.is_scalar() && word) {
      out = node.text;
      return;
    }
    if (node.is_scalar() && node.text.find('/') == std::string::npos) {
      const std::vector<std::string> words{"stdout", "stderr", "none"};
      reader.decode_error(node, "path",
                          quoted(node.text) +
                              " is neither stdout, stderr, none nor the path of a file" +
                              did_you_mean(node.text, words));
      return;
    }
    read_path(reader, node, out);
  };
  return {text_shape("stdout, stderr, none or a path"), read, path.show};
}

}  // namespace outrigger::config
