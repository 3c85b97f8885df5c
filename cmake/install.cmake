# What `cmake --install` puts where: the daemon, what extensions include, and what editors, shells and people read.
include(GNUInstallDirs)

install(TARGETS outrigger RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY include/outrigger DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(DIRECTORY config/schema DESTINATION ${CMAKE_INSTALL_DATADIR}/outrigger FILES_MATCHING PATTERN "*.json")
install(FILES config/minimal.yaml config/example.yaml DESTINATION ${CMAKE_INSTALL_DATADIR}/outrigger/examples)
install(FILES packaging/outrigger.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES README.md LICENSE CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

# Completions are made by the program that was built.
set(completions ${CMAKE_BINARY_DIR}/generated/completion)
add_custom_command(TARGET outrigger POST_BUILD VERBATIM
  COMMAND ${CMAKE_COMMAND} -E make_directory ${completions}
  COMMAND sh -c "for shell in bash zsh fish; do \"$1\" completion $shell >\"$2/$shell\" || exit 1; done" sh $<TARGET_FILE:outrigger> ${completions})
install(FILES ${completions}/bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME outrigger)
install(FILES ${completions}/zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _outrigger)
install(FILES ${completions}/fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d RENAME outrigger.fish)
