# Writes the commit this tree is at into OUT, and only when it is another one: what includes it is then the
# one file that is compiled anew.
execute_process(COMMAND git -C "${SOURCE}" describe --always --dirty --abbrev=12 --exclude=*
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed OR NOT commit)
  set(commit "unknown")
endif()
set(text "#include \"cli/version.h\"\n\nnamespace outrigger::cli {\nconst char* const build_commit = \"${commit}\";\n}  // namespace outrigger::cli\n")
if(EXISTS "${OUT}")
  file(READ "${OUT}" before)
endif()
if(NOT "${before}" STREQUAL "${text}")
  file(WRITE "${OUT}" "${text}")
endif()
