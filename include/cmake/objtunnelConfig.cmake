# objtunnel::headers: the folder with objtunnel.h and objtunnel_global.h. There is nothing to link with.
if(NOT TARGET objtunnel::headers)
  get_filename_component(_objtunnel_include "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)
  add_library(objtunnel::headers INTERFACE IMPORTED)
  set_target_properties(objtunnel::headers PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_objtunnel_include}")
  unset(_objtunnel_include)
endif()
set(objtunnel_FOUND TRUE)
