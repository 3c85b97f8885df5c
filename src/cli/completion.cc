#include "cli/completion.h"

#include <CLI/CLI.hpp>
#include <vector>

#include "config/schema.h"

namespace outrigger::cli {
namespace {

struct Word {
  std::string text;
  std::string help;
};

// What may follow a subcommand. `path` is "" for the program itself, "cert issue" for a nested one.
struct Place {
  std::string path;
  std::vector<Word> words;
  bool files = false;  // its arguments are files
};

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

void collect(const CLI::App& app, const std::string& path, std::vector<Place>& out) {
  Place place{path, {}, false};
  for (const CLI::App* command : commands_of(app)) {
    place.words.push_back({command->get_name(), command->get_description()});
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      place.words.push_back({"--" + name, option->get_description()});
    }
    for (const std::string& name : option->get_snames()) {
      place.words.push_back({"-" + name, option->get_description()});
    }
    place.files |= option->get_positional() && option->get_name() == "files";
    place.files |= option->check_lname("config") || option->check_lname("out");
  }
  if (path == "explain") {
    for (const config::FieldInfo& field : config::root_record().info().fields) {
      place.words.push_back({field.key, field.help});
    }
  }
  if (path == "completion") {
    for (const char* shell : {"bash", "zsh", "fish"}) place.words.push_back({shell, ""});
  }
  out.push_back(place);
  for (const CLI::App* command : commands_of(app)) {
    collect(*command, path.empty() ? command->get_name() : path + " " + command->get_name(), out);
  }
}

std::string joined(const std::vector<Word>& words) {
  std::string out;
  for (const Word& word : words) out += (out.empty() ? "" : " ") + word.text;
  return out;
}

// Which subcommand the line is at: words that do not begin with a dash, as far as they name one.
std::string cases(const std::vector<Place>& places, const std::string& indent) {
  std::string out;
  for (const Place& place : places) {
    out += indent + "\"" + place.path + "\") words=\"" + joined(place.words) +
           "\"; files=" + (place.files ? "yes" : "") + " ;;\n";
  }
  return out;
}

std::string known(const std::vector<Place>& places) {
  std::string out;
  for (const Place& place : places) {
    if (!place.path.empty()) out += (out.empty() ? "\"" : "|\"") + place.path + "\"";
  }
  return out;
}

std::string bash(const std::vector<Place>& places) {
  return "# bash completion for outrigger\n"
         "_outrigger() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} path= next word words files\n"
         "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
         "    next=${path:+$path }$word\n"
         "    case $next in " +
         known(places) +
         ") path=$next ;; esac\n"
         "  done\n"
         "  case $path in\n" +
         cases(places, "    ") +
         "  esac\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
         "  if [ -n \"$files\" ] && [[ $current != -* ]]; then\n"
         "    COMPREPLY+=($(compgen -f -- \"$current\"))\n"
         "  fi\n"
         "}\n"
         "complete -o filenames -F _outrigger outrigger\n";
}

// zsh's own variable `words` holds the line, so that the candidates are called otherwise.
std::string zsh(const std::vector<Place>& places) {
  std::string choices;
  for (const Place& place : places) {
    choices += "    \"" + place.path + "\") offered=(" + joined(place.words) +
               "); files=" + (place.files ? "yes" : "") + " ;;\n";
  }
  return "#compdef outrigger\n"
         "_outrigger() {\n"
         "  local path_= next word files\n"
         "  local -a offered\n"
         "  for word in ${words[2,CURRENT-1]}; do\n"
         "    next=${path_:+$path_ }$word\n"
         "    case $next in " +
         known(places) +
         ") path_=$next ;; esac\n"
         "  done\n"
         "  case $path_ in\n" +
         choices +
         "  esac\n"
         "  compadd -- $offered\n"
         "  [[ -z $files ]] || _files\n"
         "}\n"
         "_outrigger \"$@\"\n";
}

// Single quotes end a fish string, and so does a backslash before one.
std::string fish_quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string fish(const std::vector<Place>& places) {
  std::string out = "# fish completion for outrigger\ncomplete -c outrigger -f\n";
  for (const Place& place : places) {
    std::string when = "__fish_use_subcommand";
    if (!place.path.empty()) {
      when.clear();
      std::string rest = place.path;
      while (!rest.empty()) {
        const std::size_t end = std::min(rest.find(' '), rest.size());
        when += (when.empty() ? "" : "; and ") + std::string("__fish_seen_subcommand_from ") +
                rest.substr(0, end);
        rest.erase(0, std::min(end + 1, rest.size()));
      }
    }
    if (place.files) out += "complete -c outrigger -n " + fish_quoted(when) + " -F\n";
    for (const Word& word : place.words) {
      std::string how = " -a " + word.text;
      if (word.text.starts_with("--")) {
        how = " -l " + word.text.substr(2);
      } else if (word.text.starts_with("-")) {
        how = " -s " + word.text.substr(1);
      }
      out += "complete -c outrigger -n " + fish_quoted(when) + how;
      if (!word.help.empty()) out += " -d " + fish_quoted(word.help);
      out += "\n";
    }
  }
  return out;
}

}  // namespace

Result<std::string> completion(const CLI::App& app, const std::string& shell) {
  std::vector<Place> places;
  collect(app, "", places);
  if (shell == "bash") return bash(places);
  if (shell == "zsh") return zsh(places);
  if (shell == "fish") return fish(places);
  return Error{"there are completions for bash, zsh and fish"};
}

}  // namespace outrigger::cli
